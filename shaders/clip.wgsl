// The length of all gradients together, and what they are scaled by: y = (length, factor, 1 if finite else 0, 0).
//   sums  (slots)
// NaN is looked for in the bits: comparisons with it may be optimised away.
#import index

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
    for (var i = 0u; i < params.slots; i += 1u) {
        sum += sums[i];
    }
    let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
    let length = sqrt(sum);
    y[0] = length;
    y[1] = select(1.0, min(1.0, params.most / (length + 1e-6)), params.most > 0.0);
    y[2] = select(0.0, 1.0, finite);
    y[3] = 0.0;
}
