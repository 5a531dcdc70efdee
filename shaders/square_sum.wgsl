// Sum of squares of a gradient into one slot of a table, in two stages of fixed order.
//   x         (count)
//   partials  (parts)
//   sums      (slots)
#import index

struct Params { count: u32, parts: u32, slot: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<f32>;
@group(0) @binding(#) var<storage, read_write> sums: array<f32>;
#else
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<f32>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
#if MERGE
    if (index > 0u) {
        return;
    }
    var sum = 0.0;
    for (var i = 0u; i < params.parts; i += 1u) {
        sum += partials[i];
    }
    sums[params.slot] = sum;
#else
    if (index >= params.parts) {
        return;
    }
    var sum = 0.0;
    for (var i = index; i < params.count; i += params.parts) {
        sum = fma(x[i], x[i], sum);
    }
    partials[index] = sum;
#end
}
