// The end of a block: y = leaky_relu(norm(u) + r), with r absent, plain or normalised too.
//   u, r, y      (channels, voxels)
//   norm_u, norm_r  (channels) of (mean, 1/std, scale, shift)
#import index
#import activation

struct Params { channels: u32, voxels: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> u: array<f32>;
@group(0) @binding(#) var<storage, read> norm_u: array<vec4<f32>>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read> r: array<f32>;
#end
#if NORM_R
@group(0) @binding(#) var<storage, read> norm_r: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.channels * params.voxels) {
        return;
    }
    let channel = index / params.voxels;
    var v = fma(u[index], norm_u[channel].z, norm_u[channel].w);
#if RESIDUAL
#if NORM_R
    v += fma(r[index], norm_r[channel].z, norm_r[channel].w);
#else
    v += r[index];
#end
#end
    y[index] = leaky_relu(v);
}
