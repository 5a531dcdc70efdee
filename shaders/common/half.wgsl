// The nearest number of half precision, ties to even, in single precision; infinite beyond 65504.
fn to_half(v: f32) -> f32 {
    let bits = bitcast<u32>(v);
    let size = bits & 0x7fffffffu;
    // Below 2^-14 halves are the multiples of 2^-24.
    if (size < 0x38800000u) {
        return round(v * 16777216.0) * 5.9604644775390625e-8;
    }
    let rounded = (size + 0xfffu + ((size >> 13u) & 1u)) & 0xffffe000u;
    return bitcast<f32>((bits & 0x80000000u) | select(rounded, 0x7f800000u, rounded >= 0x47800000u));
}
