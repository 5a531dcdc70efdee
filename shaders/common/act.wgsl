// Activation $t: none, LEAKY ReLU of slope SLOPE_$t_F32 within 0 and 1, RELU of any slope, or of trained ones (PRELU; one,
// or EACH channel's own), GELU, SIGMOID, ELU of factor SLOPE_$t_F32, SILU.
#import activation
#if PRELU_$t
@group(0) @binding(#) var<storage, read> slopes_$t: array<f32>;

fn slope_$t(channel: u32) -> f32 {
    return slopes_$t[channel * EACH_$t];
}
#else
fn slope_$t(channel: u32) -> f32 {
    return SLOPE_$t_F32;
}
#end

fn act_$t(x: f32, slope: f32) -> f32 {
#if LEAKY_$t
    return max(x, slope * x);
#end
#if RELU_$t
    return select(slope * x, x, x > 0.0);
#end
#if GELU_$t
    return gelu(x);
#end
#if SIGMOID_$t
    return sigmoid(x);
#end
#if ELU_$t
    return select(slope * (exp(min(x, 0.0)) - 1.0), x, x > 0.0);
#end
#if SILU_$t
    return x * sigmoid(x);
#end
#if PLAIN_$t
    return x;
#end
}

fn act4_$t(x: vec4<f32>, slope: f32) -> vec4<f32> {
#if LEAKY_$t
    return max(x, slope * x);
#end
#if RELU_$t
    return select(slope * x, x, x > vec4<f32>());
#end
#if GELU_$t
    return vec4<f32>(gelu(x.x), gelu(x.y), gelu(x.z), gelu(x.w));
#end
#if SIGMOID_$t
    return vec4<f32>(sigmoid(x.x), sigmoid(x.y), sigmoid(x.z), sigmoid(x.w));
#end
#if ELU_$t
    return select(slope * (exp(min(x, vec4<f32>())) - 1.0), x, x > vec4<f32>());
#end
#if SILU_$t
    return x * vec4<f32>(sigmoid(x.x), sigmoid(x.y), sigmoid(x.z), sigmoid(x.w));
#end
#if PLAIN_$t
    return x;
#end
}
