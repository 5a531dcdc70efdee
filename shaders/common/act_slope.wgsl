// Derivative of activation $t.
#import act $t

fn act_slope_$t(x: f32, slope: f32) -> f32 {
#if LEAKY_$t
    return select(slope, 1.0, x > 0.0);
#end
#if RELU_$t
    return select(slope, 1.0, x > 0.0);
#end
#if GELU_$t
    return gelu_slope(x);
#end
#if SIGMOID_$t
    let y = sigmoid(x);
    return y * (1.0 - y);
#end
#if ELU_$t
    return select(slope * exp(min(x, 0.0)), 1.0, x > 0.0);
#end
#if SILU_$t
    let s = sigmoid(x);
    return s * (1.0 + x * (1.0 - s));
#end
#if PLAIN_$t
    return 1.0;
#end
}
