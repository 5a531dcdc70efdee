// Sum of squares of a gradient into one slot of a table, in two stages of fixed order. The slot is NaN if a value is not
// finite, by its bits.
//   x         (count), counted in values
//   partials  (parts)
//   sums      (slots)
#import index
#import finite
#import runs
#import values

struct Params { count: u32, parts: u32, slot: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<f32>;
@group(0) @binding(#) var<storage, read_write> sums: array<u32>;
#else
@group(0) @binding(#) var<storage, read> x: array<Value>;
@group(0) @binding(#) var<storage, read_write> partials: array<u32>;
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
    var worst = 0u;
    for (var i = 0u; i < params.parts; i += 1u) {
        worst = max(worst, exponent(partials[i]));
        sum += partials[i];
    }
    sums[params.slot] = marked(sum, worst);
#else
    // Parts are whole groups.
    if (index >= params.parts) {
        return;
    }
    let steps = (params.count + params.parts - 1u) / params.parts;
    let first = index / 64u * 64u * steps;
    let end = run_end(first, lane, steps, params.count);
    var sum = Value();
    var worst = 0u;
    for (var i = run_start(first, lane, steps); i < end; i += RUN) {
        let v = x[i];
#if WIDE
        worst = max(worst, exponent4(v));
#else
        worst = max(worst, exponent(v));
#end
        sum = fma(v, v, sum);
    }
    partials[index] = marked(total(sum), worst);
#end
}
