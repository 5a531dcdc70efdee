// Value at `at` of the row of x_$t along Z, `length` voxels long, that begins at `row`; zero beyond its ends.
fn load_$t(row: u32, length: u32, at: i32, f: vec3<f32>) -> f32 {
    // Below 0 wraps around and is beyond the end too.
    let i = u32(at);
    return select(0.0, value_$t(x_$t[row + min(i, length - 1u)], f), i < length);
}
