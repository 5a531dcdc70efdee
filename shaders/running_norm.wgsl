// A batch norm in evaluation, for consumers to normalise on load: (mean, 1/std, scale, shift) of running averages, the same
// for every sample.
//   mean, variance  (C)      gamma, beta  (C)      y  (N, C) of vec4
#import index

struct Params { samples: u32, channels: u32, eps: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> mean: array<f32>;
@group(0) @binding(#) var<storage, read> variance: array<f32>;
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
    let c = index % params.channels;
    let rstd = 1.0 / sqrt(variance[c] + params.eps);
#if AFFINE
    let scale = rstd * gamma[c];
    y[index] = vec4<f32>(mean[c], rstd, scale, beta[c] - mean[c] * scale);
#else
    y[index] = vec4<f32>(mean[c], rstd, rstd, -mean[c] * rstd);
#end
}
