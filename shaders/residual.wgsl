// The end of a block: y = leaky_relu(norm(u) + r), with r absent, plain or normalised too.
//   u, r, y         (channels, voxels), counted in values
//   norm_u, norm_r  (channels) of (mean, 1/std, scale, shift)
#import index
#import activation
#import runs
#import values

struct Params { channels: u32, values: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> u: array<Value>;
@group(0) @binding(#) var<storage, read> norm_u: array<vec4<f32>>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read> r: array<Value>;
#end
#if NORM_R
@group(0) @binding(#) var<storage, read> norm_r: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // A group stays within one channel.
    let tiles = (params.values + 511u) / 512u;
    let group = flat_group(wid, counts);
    let channel = group / tiles;
    if (channel >= params.channels) {
        return;
    }
    let nu = norm_u[channel];
#if NORM_R
    let nr = norm_r[channel];
#end
    let first = group % tiles * 512u;
    let end = run_end(first, lane, 8u, params.values);
    for (var i = run_start(first, lane, 8u); i < end; i += RUN) {
        let at = channel * params.values + i;
        var v = fma(u[at], Value(nu.z), Value(nu.w));
#if RESIDUAL
#if NORM_R
        v += fma(r[at], Value(nr.z), Value(nr.w));
#else
        v += r[at];
#end
#end
        y[at] = max(v, SLOPE * v);
    }
}
