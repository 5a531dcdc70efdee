// First stage of the sum of each channel over all outer and inner positions: one invocation per channel and part.
//   x         (outer, channels, inner)
//   partials  (parts, channels)
#import index

struct Params { outer: u32, channels: u32, inner: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.channels * params.parts) {
        return;
    }
    // Neighbouring invocations read neighbouring values.
#if COLUMNS
    let channel = index % params.channels;
    let part = index / params.channels;
#else
    let channel = index / params.parts;
    let part = index % params.parts;
#end
    var sum = 0.0;
    for (var i = part; i < params.outer * params.inner; i += params.parts) {
        sum += x[(i / params.inner * params.channels + channel) * params.inner + i % params.inner];
    }
    partials[part * params.channels + channel] = sum;
}
