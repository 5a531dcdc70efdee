// Mean and biased variance of each channel in two stages and fixed order: `parts` invocations per channel, then one.
// Each part takes the mean first and the squares about it second: E[x^2] - E[x]^2 loses all digits.
//   x        (channels, voxels)
//   partial  (channels, parts) of (count, mean, sum of squares about the mean)
//   y        (channels) of (mean, variance)
#import index

struct Params { channels: u32, voxels: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> y: array<vec2<f32>>;
#else
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
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
    // Chan's formula, part by part.
    var total = vec3<f32>();
    for (var i = 0u; i < params.parts; i += 1u) {
        let part = partials[index * params.parts + i];
        if (part.x > 0.0) {
            let n = total.x + part.x;
            let delta = part.y - total.y;
            let share = part.x / n;
            total = vec3<f32>(n, total.y + delta * share, total.z + part.z + delta * delta * total.x * share);
        }
    }
    y[index] = vec2<f32>(total.y, total.z / total.x);
#else
    let channel = index / params.parts;
    let part = index % params.parts;
    if (channel >= params.channels) {
        return;
    }
    var count = 0.0;
    var sum = 0.0;
    // Neighbouring invocations read neighbouring voxels.
    for (var i = part; i < params.voxels; i += params.parts) {
        sum += x[channel * params.voxels + i];
        count += 1.0;
    }
    let mean = sum / max(count, 1.0);
    var squares = 0.0;
    for (var i = part; i < params.voxels; i += params.parts) {
        let d = x[channel * params.voxels + i] - mean;
        squares = fma(d, d, squares);
    }
    partials[index] = vec4<f32>(count, mean, squares, 0.0);
#end
}
