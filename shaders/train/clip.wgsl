// The length of all gradients together, and what they are scaled by, in two stages of fixed order: `parts` invocations, then
// (MERGE) one.
//   sums      (places)
//   partials  (parts), NaN where a sum is not finite, by its bits
//   y         (length, factor, 1 if finite else 0, 0)
#import index
#import finite

struct Params { places: u32, parts: u32, most: f32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(#) var<storage, read> sums: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<u32>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    var sum = 0.0;
    var worst = 0u;
#if MERGE
    if (index > 0u) {
        return;
    }
    for (var i = 0u; i < params.parts; i += 1u) {
        worst = max(worst, exponent(partials[i]));
        sum += partials[i];
    }
    let finite = max(worst, exponent(sum)) != NOT_FINITE;
    let length = sqrt(sum);
    y[0] = length;
    y[1] = select(1.0, min(1.0, params.most / (length + 1e-6)), params.most > 0.0);
    y[2] = select(0.0, 1.0, finite);
    y[3] = 0.0;
#else
    if (index >= params.parts) {
        return;
    }
    for (var i = index; i < params.places; i += params.parts) {
        worst = max(worst, exponent(sums[i]));
        sum += sums[i];
    }
    partials[index] = marked(sum, worst);
#end
}
