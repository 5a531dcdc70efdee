// Weights bound as `w: array<Weight>`, four to an element; HALF says whether they are stored in 16 bits.
// SCALAR is for rows that do not start at a multiple of four: one word is then one f32 or two halves.
#if SCALAR
#if HALF
alias Weight = u32;
fn weight(i: u32) -> f32 {
    return unpack2x16float(w[i / 2u])[i % 2u];
}
#else
alias Weight = f32;
fn weight(i: u32) -> f32 {
    return w[i];
}
#end
#else
#if HALF
alias Weight = vec2<u32>;
fn four(v: Weight) -> vec4<f32> {
    return vec4<f32>(unpack2x16float(v.x), unpack2x16float(v.y));
}
#else
alias Weight = vec4<f32>;
fn four(v: Weight) -> vec4<f32> {
    return v;
}
#end
fn weight4(i: u32) -> vec4<f32> {
    return four(w[i]);
}
#end
