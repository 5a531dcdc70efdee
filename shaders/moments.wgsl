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
struct Part { count: f32, mean: f32, mean_rest: f32, squares: f32, squares_rest: f32 }

// A sum and what rounding took from it.
fn exact(a: f32, b: f32) -> vec2<f32> {
    let sum = a + b;
    let of_b = sum - a;
    return vec2<f32>(sum, (a - (sum - of_b)) + (b - of_b));
}

// Two parts as one, by Chan's formula. Whatever is lost here all voxels of a channel share.
fn join(a: Part, b: Part) -> Part {
    let n = a.count + b.count;
    let delta = (b.mean - a.mean) + (b.mean_rest - a.mean_rest);
    let share = b.count / max(n, 1.0);
    let mean = exact(a.mean, delta * share);
    let between = exact(a.squares, delta * delta * a.count * share);
    let squares = exact(between.x, b.squares);
    return Part(n, mean.x, a.mean_rest + mean.y, squares.x, a.squares_rest + b.squares_rest + between.y + squares.y);
}

#if SHARED
var<workgroup> sh_parts: array<Part, LANES>;
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
    var total = Part();
    for (var i = first; i < params.parts; i += step) {
        let part = partials[index * params.parts + i];
        total = join(total, Part(part.x, part.y, 0.0, part.z, 0.0));
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
    y[index] = vec2<f32>(total.mean + total.mean_rest, (total.squares + total.squares_rest) / total.count);
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
    let near = sum / max(count, 1.0);
    // The sum's own rounding is what the distances from its mean sum up to.
    var rest = 0.0;
    var squares = 0.0;
    for (var i = part; i < params.voxels; i += params.parts) {
        let d = x[channel * params.voxels + i] - near;
        rest += d;
        squares = fma(d, d, squares);
    }
    let shift = rest / max(count, 1.0);
    partials[index] = vec4<f32>(count, near + shift, squares - rest * shift, 0.0);
#end
}
