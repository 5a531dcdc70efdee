// The eight phases of one pair of channels of a part's sum for a transposed convolution's weights.
fn store(part: u32, c: u32, k: u32, near: vec4<f32>, far: vec4<f32>) {
    if ((c < params.channels) & (k < params.k)) {
        let to = ((part * params.channels + c) * params.k + k) * 2u;
        partials[to] = near;
        partials[to + 1u] = far;
    }
}
