// Dice and cross entropy from logits, in stages of fixed order:
// 0  lse[n, v] = log sum over classes of exp(x)
// 1  partials[n, c, part] of (sum p g, sum p or p^2, sum g or g^2, sum of the cross entropy)
// 2  sums[n, c]: the parts added in order
// 3  the loss, and per (n, c) what its gradient needs: dDice/dp = a (1 or 2 p) + b g
//   x      (N, C, V)      label  (N, C, V), or (N, 1, V) of class numbers if INDEX
// p is the softmax, or with SIGMOID each class's own.
#import index

struct Params {
    samples: u32, classes: u32, voxels: u32, parts: u32,
    first: u32, together: u32, dice: f32, entropy: f32,
    smooth_nr: f32, smooth_dr: f32,
}
@group(0) @binding(#) var<uniform> params: Params;
#if TO_LSE
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> lse: array<f32>;
#end
#if TO_PARTS
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read> label: array<f32>;
@group(0) @binding(#) var<storage, read> lse: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
#end
#if TO_SUMS
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> sums: array<vec4<f32>>;
#end
#if TO_LOSS
@group(0) @binding(#) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> loss: array<f32>;
@group(0) @binding(#) var<storage, read_write> slopes: array<vec2<f32>>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
#if TO_LSE
    if (index >= params.samples * params.voxels) {
        return;
    }
    let first = index / params.voxels * params.classes * params.voxels + index % params.voxels;
    var most = x[first];
    for (var c = 1u; c < params.classes; c += 1u) {
        most = max(most, x[first + c * params.voxels]);
    }
    var sum = 0.0;
    for (var c = 0u; c < params.classes; c += 1u) {
        sum += exp(x[first + c * params.voxels] - most);
    }
    lse[index] = most + log(sum);
#end
#if TO_PARTS
    let channel = index / params.parts;
    let part = index % params.parts;
    if (channel >= params.samples * params.classes) {
        return;
    }
    let n = channel / params.classes;
    var sum = vec4<f32>();
    for (var i = part; i < params.voxels; i += params.parts) {
        let v = x[channel * params.voxels + i];
        let total = lse[n * params.voxels + i];
#if INDEX
        let g = select(0.0, 1.0, u32(label[n * params.voxels + i]) == channel % params.classes);
#else
        let g = label[channel * params.voxels + i];
#end
#if SIGMOID
        let p = 1.0 / (1.0 + exp(-v));
#else
        let p = exp(v - total);
#end
#if BINARY
        let e = max(v, 0.0) - v * g + log(1.0 + exp(-abs(v)));
#else
        let e = g * (total - v);
#end
#if SQUARED
        sum += vec4<f32>(p * g, p * p, g * g, e);
#else
        sum += vec4<f32>(p * g, p, g, e);
#end
    }
    partials[index] = sum;
#end
#if TO_SUMS
    if (index >= params.samples * params.classes) {
        return;
    }
    var sum = vec4<f32>();
    for (var i = 0u; i < params.parts; i += 1u) {
        sum += partials[index * params.parts + i];
    }
    sums[index] = sum;
#end
#if TO_LOSS
    if (index > 0u) {
        return;
    }
    // Items of the Dice mean: (sample, class), or classes over all samples together.
    let outer = select(params.samples, 1u, params.together == 1u);
    let inner = params.samples / outer;
    let weight = params.dice / f32(outer * (params.classes - params.first));
    var total = 0.0;
    var entropy = 0.0;
    for (var n = 0u; n < outer; n += 1u) {
        for (var c = 0u; c < params.classes; c += 1u) {
            var sum = vec4<f32>();
            for (var i = 0u; i < inner; i += 1u) {
                sum += sums[(n + i) * params.classes + c];
            }
            entropy += sum.w;
            let numerator = 2.0 * sum.x + params.smooth_nr;
            let denominator = sum.y + sum.z + params.smooth_dr;
            let counts_here = c >= params.first;
            total += select(0.0, weight * (1.0 - numerator / denominator), counts_here);
            let slope = vec2<f32>(numerator / denominator, -2.0) * weight / denominator;
            for (var i = 0u; i < inner; i += 1u) {
                slopes[(n + i) * params.classes + c] = select(vec2<f32>(), slope, counts_here);
            }
        }
    }
    loss[0] = total + params.entropy * entropy / (f32(params.samples) * f32(params.voxels));
#end
}
