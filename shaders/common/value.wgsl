// A stored value as the shader loads it: `value` and `act` of tensor $t for one or, WIDE, four at a time.
#import values
#import term $t

#if WIDE
fn values_$t(x: Value, f: vec3<f32>) -> Value {
    return value4_$t(x, f);
}
#else
fn values_$t(x: Value, f: vec3<f32>) -> Value {
    return value_$t(x, f);
}
#end
