// Whether values are numbers, by their bits: comparisons with NaN may be optimised away, and the smaller or larger of NaN and
// a number is the number.
const NOT_FINITE: u32 = 0x7f800000u;

// The bits of a value's exponent; the largest of many is NOT_FINITE if any value is NaN or infinite.
fn exponent(value: f32) -> u32 {
    return bitcast<u32>(value) & NOT_FINITE;
}

fn exponent4(value: vec4<f32>) -> u32 {
    return max(max(exponent(value.x), exponent(value.y)), max(exponent(value.z), exponent(value.w)));
}

// The bits of a value, or those of NaN where `worst`, the largest of some exponents, says so.
fn marked(value: f32, worst: u32) -> u32 {
    return select(bitcast<u32>(value), 0x7fc00000u, worst == NOT_FINITE);
}

fn marked4(value: vec4<f32>, worst: u32) -> vec4<u32> {
    return select(bitcast<vec4<u32>>(value), vec4<u32>(0x7fc00000u), worst == NOT_FINITE);
}
