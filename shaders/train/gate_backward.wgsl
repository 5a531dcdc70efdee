// Gradients of a value times a gate that its channels share, one invocation per voxel of a sample:
//   da[n, c, p] = dy[n, c, p] b[n, p]      db[n, p] = sum over c of dy[n, c, p] a[n, c, p]
//   dy, x_0, da  (samples, channels, voxels)      x_1, db  (samples, voxels)
//   a = act_0(norm_0(x_0))      b = act_1(norm_1(x_1))
#import index
#import values

struct Params { samples: u32, channels: u32, voxels: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import value 0
@group(0) @binding(#) var<storage, read> x_1: array<f32>;
#import value 1
@group(0) @binding(#) var<storage, read_write> da: array<f32>;
@group(0) @binding(#) var<storage, read_write> db: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let sample = index / params.voxels;
    if (sample >= params.samples) {
        return;
    }
    let gate = values_1(x_1[index], factors_1(sample, 0u));
    var sum = 0.0;
    for (var c = 0u; c < params.channels; c += 1u) {
        let row = sample * params.channels + c;
        let at = row * params.voxels + index % params.voxels;
        let d = dy[at];
        sum = fma(d, values_0(x_0[at], factors_0(row, c)), sum);
        da[at] = d * gate;
    }
    db[index] = sum;
}
