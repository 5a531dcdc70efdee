// The focal loss of a voxel and class, and its slope. Needs params.gamma and params.focal_alpha.

// A factor that fades: q^gamma for q in [0, 1]; 0^0 is 1.
fn faded(q: f32, exponent: f32) -> f32 {
    return exp(exponent * log(max(q, 1e-30)));
}

// Factor of a class by itself, by its truth.
fn focal_factor(g: f32) -> f32 {
#if FOCAL_ALPHA
    return fma(g, params.focal_alpha, (1.0 - g) * (1.0 - params.focal_alpha));
#else
    return 1.0;
#end
}

// Factor of a class among others.
fn focal_class_factor(c: u32) -> f32 {
#if FOCAL_ALPHA
    return select(params.focal_alpha, 1.0 - params.focal_alpha, c == 0u);
#else
    return 1.0;
#end
}

fn softplus(v: f32) -> f32 {
    return max(v, 0.0) + log(1.0 + exp(-abs(v)));
}

// Of logit x and truth g: (loss, slope by x).
fn focal(x: f32, g: f32, factor: f32) -> vec2<f32> {
    let side = 2.0 * g - 1.0;
    let entropy = (1.0 - g) * x + softplus(-x);
    let fading = factor * exp(-params.gamma * softplus(x * side));
    let wrong = params.gamma * side * entropy / (1.0 + exp(-x * side));
    return fading * vec2<f32>(entropy, 1.0 / (1.0 + exp(-x)) - g - wrong);
}

// Of the logarithm of a softmax and truth g: (loss, slope by that logarithm).
fn focal_softmax(ls: f32, g: f32, factor: f32) -> vec2<f32> {
    let p = exp(ls);
    let rest = 1.0 - p;
    let fading = faded(rest, params.gamma);
    let steep = params.gamma * faded(rest, params.gamma - 1.0) * p * ls;
    return factor * g * vec2<f32>(-fading * ls, steep - fading);
}
