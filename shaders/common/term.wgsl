// Tensor $t of a value that is not stored yet, act(norm(x)): what follows its values among the bindings.
//   norm_$t    (N, C) of (mean, 1/std, scale, shift), if NORM
//   slopes_$t  (1) or (C), if PRELU
#if NORM_$t
@group(0) @binding(#) var<storage, read> norm_$t: array<vec4<f32>>;
#end
#import act $t

// (scale, shift, slope of the activation) of a sample's channel; `row` counts the channels of all samples.
fn factors_$t(row: u32, channel: u32) -> vec3<f32> {
#if NORM_$t
    let norm = norm_$t[row];
    return vec3<f32>(norm.zw, slope_$t(channel));
#else
    return vec3<f32>(1.0, 0.0, slope_$t(channel));
#end
}

fn normed_$t(x: f32, f: vec3<f32>) -> f32 {
#if NORM_$t
    return fma(x, f.x, f.y);
#else
    return x;
#end
}

fn normed4_$t(x: vec4<f32>, f: vec3<f32>) -> vec4<f32> {
#if NORM_$t
    return fma(x, vec4<f32>(f.x), vec4<f32>(f.y));
#else
    return x;
#end
}

fn value_$t(x: f32, f: vec3<f32>) -> f32 {
    return act_$t(normed_$t(x, f), f.z);
}

fn value4_$t(x: vec4<f32>, f: vec3<f32>) -> vec4<f32> {
    return act4_$t(normed4_$t(x, f), f.z);
}
