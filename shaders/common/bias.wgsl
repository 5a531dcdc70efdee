// The bias of four output channels, those beyond the last repeat it; for shaders that bind `b: array<f32>`.
fn bias4(quad: u32) -> vec4<f32> {
    let last = params.k - 1u;
    let k = quad * 4u;
    return vec4<f32>(b[min(k, last)], b[min(k + 1u, last)], b[min(k + 2u, last)], b[min(k + 3u, last)]);
}
