// Mean and biased variance of each channel in two stages and fixed order: `parts` invocations per channel, then one, or
// a group of LANES with workgroup memory.
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

#if MERGE
// Two parts as one, by Chan's formula.
fn join(a: vec3<f32>, b: vec3<f32>) -> vec3<f32> {
    let n = a.x + b.x;
    let delta = b.y - a.y;
    let share = b.x / max(n, 1.0);
    return vec3<f32>(n, fma(delta, share, a.y), a.z + b.z + delta * delta * a.x * share);
}

#if SHARED
var<workgroup> sh_parts: array<vec3<f32>, LANES>;
#end
#end

@compute @workgroup_size(LANES)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
#if MERGE
#if SHARED
    // Groups of the grid's overhang repeat the last channel, so that barriers stay uniform.
    let index = min(flat_group(wid, counts), params.channels - 1u);
    let first = lane;
    let step = LANES;
#else
    let index = flat_group(wid, counts) * LANES + lane;
    if (index >= params.channels) {
        return;
    }
    let first = 0u;
    let step = 1u;
#end
    var total = vec3<f32>();
    for (var i = first; i < params.parts; i += step) {
        total = join(total, partials[index * params.parts + i].xyz);
    }
#if SHARED
    sh_parts[lane] = total;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (lane < half) {
            total = join(total, sh_parts[lane + half]);
            sh_parts[lane] = total;
        }
    }
    if (lane > 0u) {
        return;
    }
#end
    y[index] = vec2<f32>(total.y, total.z / total.x);
#else
    let index = flat_group(wid, counts) * LANES + lane;
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
