// Gradient of Dice and cross entropy with respect to the logits, one invocation per voxel.
//   q = a (1 or 2 p) + b g       softmax: dx = p (q - sum over classes of p q)      sigmoid: dx = q p (1 - p)
//   focal: dx = s w times its slope, of a softmax h - softmax(x) sum h with h that by log softmax
//   cross entropy: dx = s (softmax(x) sum w g - w g), for a single class s (p (1 + (w - 1) g) - w g)
//   x, dx   (N, C, V)      label  (N, C, V), or (N, 1, V) of class numbers if INDEX
//   lse     (N, V)         slopes  (N, C) of (a, b, s, w)      dloss  (1)
// Where the loss is not finite, the slopes are NaN, and so is the gradient.
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
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read> label: array<f32>;
@group(0) @binding(#) var<storage, read> lse: array<f32>;
@group(0) @binding(#) var<storage, read> slopes: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read> dloss: array<f32>;
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;

fn truth(n: u32, c: u32, voxel: u32) -> f32 {
#if INDEX
    return select(0.0, 1.0, u32(label[n * params.voxels + voxel]) == c);
#else
    return label[(n * params.classes + c) * params.voxels + voxel];
#end
}

fn probability(v: f32, total: f32) -> f32 {
#if SIGMOID
    return 1.0 / (1.0 + exp(-v));
#else
    return exp(v - total);
#end
}

fn slope(s: vec4<f32>, p: f32, g: f32) -> f32 {
#if SQUARED
    return fma(s.x, 2.0 * p, s.y * g);
#else
    return fma(s.y, g, s.x);
#end
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.samples * params.voxels) {
        return;
    }
    let n = index / params.voxels;
    let voxel = index % params.voxels;
    let first = n * params.classes * params.voxels + voxel;
    let total = lse[index];
    let row = n * params.classes;
    let mark = slopes[row].x;
    if (exponent(mark) == NOT_FINITE) {
        for (var c = 0u; c < params.classes; c += 1u) {
            dx[first + c * params.voxels] = mark;
        }
        return;
    }
    var mean = 0.0;
    var truths = 0.0;
    for (var c = 0u; c < params.classes; c += 1u) {
        let s = slopes[row + c];
        let g = truth(n, c, voxel);
#if FOCAL_SOFTMAX
        truths -= s.w * focal_softmax(x[first + c * params.voxels] - total, g, focal_class_factor(c)).y;
#else
        truths = fma(s.w, g, truths);
#end
        let p = probability(x[first + c * params.voxels], total);
        mean = fma(p, slope(s, p, g), mean);
    }
    for (var c = 0u; c < params.classes; c += 1u) {
        let s = slopes[row + c];
        let v = x[first + c * params.voxels];
        let g = truth(n, c, voxel);
        let p = probability(v, total);
#if SIGMOID
        var d = slope(s, p, g) * p * (1.0 - p);
#else
        var d = p * (slope(s, p, g) - mean);
#end
#if FOCAL
        d += s.z * s.w * focal(v, g, focal_factor(g)).y;
#else
#if FOCAL_SOFTMAX
        d += s.z * (exp(v - total) * truths + s.w * focal_softmax(v - total, g, focal_class_factor(c)).y);
#else
#if BINARY
        d += s.z * (p * fma(s.w - 1.0, g, 1.0) - s.w * g);
#else
        d += s.z * (exp(v - total) * truths - s.w * g);
#end
#end
#end
        dx[first + c * params.voxels] = d * dloss[0];
    }
}
