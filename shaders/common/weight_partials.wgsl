// Four output channels of one tap of a part's sum for a convolution's weights.
fn store(part: u32, c: u32, t: u32, quad: u32, v: vec4<f32>) {
    let k4 = (params.k + 3u) / 4u;
    if ((c < params.channels) & (quad < k4)) {
        let k = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let at = part * params.total + ((params.first + c) * TAPS + t) * k4 + quad;
        partials[at] = select(vec4<f32>(), v, k < vec4<u32>(params.k));
    }
}
