// A batch's mean and unbiased variance into the running averages of a batch norm: average += MOMENTUM (batch - average).
//   moments         (N, C) of (mean, biased variance over a sample's voxels)
//   mean, variance  (C), updated
#import index

struct Params { samples: u32, channels: u32, momentum: f32, unbiased: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read_write> mean: array<f32>;
@group(0) @binding(#) var<storage, read_write> variance: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let c = flat_group(wid, counts) * 64u + lane;
    if (c >= params.channels) {
        return;
    }
    var m = 0.0;
    for (var n = 0u; n < params.samples; n += 1u) {
        m += moments[n * params.channels + c].x;
    }
    m /= f32(params.samples);
    var v = 0.0;
    for (var n = 0u; n < params.samples; n += 1u) {
        let own = moments[n * params.channels + c];
        v += own.y + (own.x - m) * (own.x - m);
    }
    v *= params.unbiased / f32(params.samples);
    mean[c] = fma(params.momentum, m - mean[c], mean[c]);
    variance[c] = fma(params.momentum, v - variance[c], variance[c]);
}
