// Dice and cross entropy from logits, in stages of fixed order:
// 0  lse[n, v] = log sum over classes of exp(x)
// 1  partials[n, c, part] of (sum p g, sum p or p^2, sum g or g^2, sum of the cross entropy)
// 2  sums[n, c]: the parts added in order
// With FOCAL or FOCAL_SOFTMAX the focal loss stands for the cross entropy, with GENERALISED or TVERSKY these losses for Dice.
// 3  the loss, its parts (Dice, cross entropy), and per (n, c) what its gradient needs, (a, b, s, w): dDice/dp = a (1 or 2 p)
//    + b g; s is the cross entropy's factor over what its sum is divided by, w the weight of class c
//   x      (N, C, V)      label  (N, C, V), or (N, 1, V) of class numbers if INDEX      weights  (C)
// p is the softmax, or with SIGMOID each class's own. Results of stage 3 are NaN if a logit or label is not finite or a label
// no class number: partial sums carry it as the bits of NaN.
#import index
#import finite
#import focal

struct Params {
    samples: u32, classes: u32, voxels: u32, parts: u32,
    first: u32, together: u32, dice: f32, entropy: f32,
    smooth_nr: f32, smooth_dr: f32, share: f32,
    alpha: f32, beta: f32, gamma: f32, focal_alpha: f32,
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
#if BINARY
#if WEIGHTED
@group(0) @binding(#) var<storage, read> weights: array<f32>;
#end
#end
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<u32>>;
#end
#if TO_SUMS
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> sums: array<vec4<u32>>;
#end
#if TO_LOSS
@group(0) @binding(#) var<storage, read> sums: array<vec4<f32>>;
#if WEIGHTED
@group(0) @binding(#) var<storage, read> weights: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> loss: array<u32>;
@group(0) @binding(#) var<storage, read_write> slopes: array<vec4<u32>>;
@group(0) @binding(#) var<storage, read_write> parts: array<u32>;

fn class_weight(c: u32) -> f32 {
#if WEIGHTED
    return weights[c];
#else
    return 1.0;
#end
}

// MONAI leaves weights out of the Dice term where a single class is left, and of the other overlaps.
fn dice_weight(c: u32) -> f32 {
#if TVERSKY
    return 1.0;
#else
    return select(class_weight(c), 1.0, params.classes - params.first == 1u);
#end
}

// What a class counts for, by the voxels that it has in truth; 0 where it has none.
fn class_count(truth: f32) -> f32 {
#if POWER
    // Counted, so that it is 0 or at least 1, or shares, which may be small.
    let inverse = select(1.0 / truth, 0.0, truth == 0.0);
    return select(inverse * inverse, inverse, POWER == 1);
#else
    return 1.0;
#end
}

// (quotient, 1 / denominator of the slopes, slopes' factors of 1 and of g before it) of a class.
fn overlap(sum: vec4<f32>) -> vec4<f32> {
#if TVERSKY
    let denominator = sum.x + params.alpha * (sum.y - sum.x) + params.beta * (sum.z - sum.x) + params.smooth_dr;
    let quotient = (sum.x + params.smooth_nr) / denominator;
    return vec4<f32>(quotient, 1.0 / denominator, quotient * params.alpha, quotient * (1.0 - params.alpha - params.beta) - 1.0);
#else
    let denominator = sum.y + sum.z + params.smooth_dr;
    let quotient = (2.0 * sum.x + params.smooth_nr) / denominator;
    return vec4<f32>(quotient, 1.0 / denominator, quotient, -2.0);
#end
}

// The sums of class `c` over the `inner` samples from `n` on.
fn item(n: u32, c: u32, inner: u32) -> vec4<f32> {
    var sum = vec4<f32>();
    for (var i = 0u; i < inner; i += 1u) {
        sum += sums[(n + i) * params.classes + c];
    }
    return sum;
}

#if GENERALISED
// Of the `inner` samples from `n` on: (quotient, 1 / denominator, what a class counts for that the truth lacks).
fn generalised(n: u32, inner: u32) -> vec3<f32> {
    var most = 0.0;
    for (var c = params.first; c < params.classes; c += 1u) {
        most = max(most, class_count(item(n, c, inner).z));
    }
    var both = 0.0;
    var size = 0.0;
    for (var c = params.first; c < params.classes; c += 1u) {
        let sum = item(n, c, inner);
        let count = class_count(sum.z);
        let counted = select(count, most, count == 0.0);
        both = fma(counted, sum.x, both);
        size = fma(counted, sum.y + sum.z, size);
    }
    let denominator = size + params.smooth_dr;
    return vec3<f32>((2.0 * both + params.smooth_nr) / denominator, 1.0 / denominator, most);
}
#end
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
    var worst = 0u;
    for (var i = part; i < params.voxels; i += params.parts) {
        let v = x[channel * params.voxels + i];
        let total = lse[n * params.voxels + i];
#if INDEX
        let truth = label[n * params.voxels + i];
        let class_here = u32(truth);
        let g = select(0.0, 1.0, class_here == channel % params.classes);
        worst = select(worst, NOT_FINITE, (class_here >= params.classes) | (f32(class_here) != truth));
#else
        let truth = label[channel * params.voxels + i];
        let g = truth;
#end
        worst = max(worst, max(exponent(v), exponent(truth)));
#if SIGMOID
        let p = 1.0 / (1.0 + exp(-v));
#else
        let p = exp(v - total);
#end
#if FOCAL
        let e = focal(v, g, focal_factor(g)).x;
#else
#if FOCAL_SOFTMAX
        let e = focal_softmax(v - total, g, focal_class_factor(channel % params.classes)).x;
#else
#if BINARY
#if WEIGHTED
        let positive = fma(weights[0] - 1.0, g, 1.0);
#else
        let positive = 1.0;
#end
        let e = (1.0 - g) * v + positive * (max(-v, 0.0) + log(1.0 + exp(-abs(v))));
#else
        let e = g * (total - v);
#end
#end
#end
#if SQUARED
        sum += vec4<f32>(p * g, p * p, g * g, e);
#else
        sum += vec4<f32>(p * g, p, g, e);
#end
    }
    partials[index] = marked4(sum, worst);
#end
#if TO_SUMS
    if (index >= params.samples * params.classes) {
        return;
    }
    var sum = vec4<f32>();
    var worst = 0u;
    for (var i = 0u; i < params.parts; i += 1u) {
        let part = partials[index * params.parts + i];
        worst = max(worst, exponent4(part));
        sum += part;
    }
    sums[index] = marked4(sum, worst);
#end
#if TO_LOSS
    if (index > 0u) {
        return;
    }
    // Items of the Dice mean: (sample, class), or classes over all samples together.
    let outer = select(params.samples, 1u, params.together == 1u);
    let inner = params.samples / outer;
#if GENERALISED
    let share = 1.0 / f32(outer);
#else
    let share = 1.0 / f32(outer * (params.classes - params.first));
#end
    var worst = 0u;
    var dice = 0.0;
    var entropy = 0.0;
    var divisor = 0.0;
    for (var n = 0u; n < outer; n += 1u) {
#if GENERALISED
        let whole = generalised(n, inner);
        dice += 1.0 - whole.x;
#end
        for (var c = 0u; c < params.classes; c += 1u) {
            let sum = item(n, c, inner);
            worst = max(worst, exponent4(sum));
#if FOCAL
            entropy = fma(select(0.0, class_weight(c), c >= params.first), sum.w, entropy);
#else
#if BINARY
            entropy += sum.w;
#else
            entropy = fma(class_weight(c), sum.w, entropy);
#end
#end
            // Of class numbers, the sum of g and of its square count the voxels of this class.
            divisor = fma(class_weight(c), sum.z, divisor);
#if !GENERALISED
            dice += select(0.0, dice_weight(c) * (1.0 - overlap(sum).x), c >= params.first);
#end
        }
    }
    dice *= share;
#if !INDEX
    divisor = f32(params.samples) * f32(params.voxels);
#end
#if FOCAL
    divisor = f32(params.samples) * f32(params.voxels) * f32(params.classes - params.first);
#end
#if FOCAL_SOFTMAX
    divisor = f32(params.samples) * f32(params.voxels) * f32(params.classes);
#end
    // Nothing is to be learned from voxels without weight.
    let weightless = (bitcast<u32>(divisor) & 0x7fffffffu) == 0u;
    entropy = select(entropy / divisor, 0.0, weightless);
    loss[0] = marked(fma(params.dice, dice, params.entropy * entropy), worst);
    parts[0] = marked(params.share * dice, worst);
    parts[1] = marked(params.share * entropy, worst);
    let factor = select(params.entropy / divisor, 0.0, weightless);
    for (var n = 0u; n < outer; n += 1u) {
#if GENERALISED
        let whole = generalised(n, inner);
#end
        for (var c = 0u; c < params.classes; c += 1u) {
            let sum = item(n, c, inner);
#if GENERALISED
            let count = class_count(sum.z);
            let counted = select(count, whole.z, count == 0.0);
            let slope = vec2<f32>(whole.x, -2.0) * (params.dice * share * counted * whole.y);
#else
            let made = overlap(sum);
            let slope = made.zw * (params.dice * share * dice_weight(c) * made.y);
#end
            let counts_here = c >= params.first;
#if FOCAL
            let of_voxels = select(0.0, factor, counts_here);
#else
            let of_voxels = factor;
#end
            let row = vec4<f32>(select(vec2<f32>(), slope, counts_here), of_voxels, class_weight(c));
            for (var i = 0u; i < inner; i += 1u) {
                slopes[(n + i) * params.classes + c] = marked4(row, worst);
            }
        }
    }
#end
}
