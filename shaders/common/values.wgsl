// Values one at a time, or four where WIDE says that their count is a multiple of four: long loads are what counts.
#if WIDE
alias Value = vec4<f32>;
fn total(v: Value) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
#else
alias Value = f32;
fn total(v: Value) -> f32 {
    return v;
}
#end
