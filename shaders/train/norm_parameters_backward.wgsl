// Gradients of a norm's moments, one invocation per (n, c), and (WEIGHTS) of gamma and beta, one per channel.
//   sums               (N, C) of (sum dt x_hat, sum dt)
//   moments, dmoments  (N, C) of (mean, variance)
//   norm               (N, C) of (mean, 1/std, scale, shift)
//   gamma, dgamma, dbeta  (C)
#import index

struct Params { samples: u32, channels: u32, members: u32, step: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> sums: array<vec2<f32>>;
#if WEIGHTS
@group(0) @binding(#) var<storage, read_write> dgamma: array<f32>;
@group(0) @binding(#) var<storage, read_write> dbeta: array<f32>;
#else
@group(0) @binding(#) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read> norm: array<vec4<f32>>;
#if AFFINE
@group(0) @binding(#) var<storage, read> gamma: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> dmoments: array<vec2<f32>>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
#if WEIGHTS
    if (index >= params.channels) {
        return;
    }
    var sum = vec2<f32>();
    for (var n = 0u; n < params.samples; n += 1u) {
        sum += sums[n * params.channels + index];
    }
    dgamma[index] = sum.x;
    dbeta[index] = sum.y;
#else
    if (index >= params.samples * params.channels) {
        return;
    }
#if BATCH
    let first = index % params.channels;
#else
    let first = index / params.members * params.members;
#end
    var sum = vec2<f32>();
    for (var i = 0u; i < params.members; i += 1u) {
#if AFFINE
        sum += gamma[(first + i * params.step) % params.channels] * sums[first + i * params.step];
#else
        sum += sums[first + i * params.step];
#end
    }
    sum /= f32(params.members);
    let shared_norm = norm[index];
    let dvar = -0.5 * shared_norm.y * shared_norm.y * sum.x;
    dmoments[index] = vec2<f32>(2.0 * dvar * (moments[index].x - shared_norm.x) - shared_norm.y * sum.y, dvar);
#end
}
