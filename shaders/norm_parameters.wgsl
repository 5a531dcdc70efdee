// What a consumer needs to normalise on load: (mean, 1/std, scale, shift) with y = scale x + shift.
//   moments  (N, C) of (mean, variance)
//   gamma, beta  (C)
//   y        (N, C) of vec4
#import index

struct Params { samples: u32, channels: u32, members: u32, step: u32, eps: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> moments: array<vec2<f32>>;
#if AFFINE
@group(0) @binding(#) var<storage, read> gamma: array<f32>;
@group(0) @binding(#) var<storage, read> beta: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.samples * params.channels) {
        return;
    }
    // Those that share have equally many voxels: the variance is the mean variance plus that of the means.
#if BATCH
    let first = index % params.channels;
#else
    let first = index / params.members * params.members;
#end
    var mean = 0.0;
    for (var i = 0u; i < params.members; i += 1u) {
        mean += moments[first + i * params.step].x;
    }
    mean /= f32(params.members);
    var rest = 0.0;
    var variance = 0.0;
    for (var i = 0u; i < params.members; i += 1u) {
        let d = moments[first + i * params.step].x - mean;
        rest += d;
        variance += moments[first + i * params.step].y + d * d;
    }
    // The sum's own rounding is what the distances from its mean sum up to.
    rest /= f32(params.members);
    mean += rest;
    variance = variance / f32(params.members) - rest * rest;
    let rstd = 1.0 / sqrt(variance + params.eps);
#if AFFINE
    let scale = rstd * gamma[index % params.channels];
    y[index] = vec4<f32>(mean, rstd, scale, fma(-mean, scale, beta[index % params.channels]));
#else
    y[index] = vec4<f32>(mean, rstd, rstd, -mean * rstd);
#end
}
