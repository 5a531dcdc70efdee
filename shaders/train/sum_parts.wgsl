// The second stage of a reduction: y[i] = sum over parts of partials[part, i], in the order of the parts.
//   partials  (parts, count)
//   y         (count), all counted in values
#import index
#import values

struct Params { count: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> partials: array<Value>;
@group(0) @binding(#) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.count) {
        return;
    }
    var sum = Value();
    for (var part = 0u; part < params.parts; part += 1u) {
        sum += partials[part * params.count + index];
    }
    y[index] = sum;
}
