// Gradients of y = leaky_relu(norm(u) + r): the first stage writes du and dr and sums per channel and part, the second
// (MERGE) adds the parts in order. Sums are gradients of a norm's factor and offset: of dt x_hat, and of dt.
//   dy, u, r, du, dr  (channels, voxels)
//   norm_u, norm_r    (channels) of (mean, 1/std, scale, shift)
//   partials          (channels, parts) of (sum dt, sum dt u_hat, sum dt r_hat)
//   sums_u, sums_r    (channels) of (sum dt x_hat, sum dt)
#import index
#import activation

struct Params { channels: u32, voxels: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> sums_u: array<vec2<f32>>;
#if NORM_R
@group(0) @binding(#) var<storage, read_write> sums_r: array<vec2<f32>>;
#end
#else
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read> u: array<f32>;
@group(0) @binding(#) var<storage, read> norm_u: array<vec4<f32>>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read> r: array<f32>;
#end
#if NORM_R
@group(0) @binding(#) var<storage, read> norm_r: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> du: array<f32>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read_write> dr: array<f32>;
#end
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
#if MERGE
    if (index >= params.channels) {
        return;
    }
    var sum = vec4<f32>();
    for (var i = 0u; i < params.parts; i += 1u) {
        sum += partials[index * params.parts + i];
    }
    sums_u[index] = sum.yx;
#if NORM_R
    sums_r[index] = sum.zx;
#end
#else
    let channel = index / params.parts;
    let part = index % params.parts;
    if (channel >= params.channels) {
        return;
    }
    let nu = norm_u[channel];
#if NORM_R
    let nr = norm_r[channel];
#end
    var sum = vec4<f32>();
    for (var i = part; i < params.voxels; i += params.parts) {
        let at = channel * params.voxels + i;
        var v = fma(u[at], nu.z, nu.w);
#if RESIDUAL
#if NORM_R
        v += fma(r[at], nr.z, nr.w);
#else
        v += r[at];
#end
#end
        let dt = dy[at] * select(SLOPE, 1.0, v > 0.0);
        sum.x += dt;
        sum.y = fma(dt, (u[at] - nu.x) * nu.y, sum.y);
        du[at] = dt * nu.z;
#if RESIDUAL
#if NORM_R
        sum.z = fma(dt, (r[at] - nr.x) * nr.y, sum.z);
        dr[at] = dt * nr.z;
#else
        dr[at] = dt;
#end
#end
    }
    partials[index] = sum;
#end
}
