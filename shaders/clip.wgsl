// The length of all gradients together, and what they are scaled by: y = (length, factor, 1 if finite else 0, 0).
//   sums  (slots)
#import index
#import finite

struct Params { slots: u32, most: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> sums: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if (flat_group(wid, counts) * 64u + lane > 0u) {
        return;
    }
    var sum = 0.0;
    var worst = 0u;
    for (var i = 0u; i < params.slots; i += 1u) {
        worst = max(worst, exponent(sums[i]));
        sum += sums[i];
    }
    let finite = max(worst, exponent(sum)) != NOT_FINITE;
    let length = sqrt(sum);
    y[0] = length;
    y[1] = select(1.0, min(1.0, params.most / (length + 1e-6)), params.most > 0.0);
    y[2] = select(0.0, 1.0, finite);
    y[3] = 0.0;
}
