// Index `i` of `n` from the other end where the lowest bit of `bits` is set.
fn mirror(i: u32, n: u32, bits: u32) -> u32 {
    return select(i, n - 1u - i, (bits & 1u) != 0u);
}

// Where voxel `i` of a window (X, Y, Z) lies, which the network saw mirrored along the axes of `params.mirrored`.
fn mirrored_voxel(i: u32) -> vec3<u32> {
    return vec3<u32>(
        mirror(i / params.z / params.y, params.x, params.mirrored),
        mirror(i / params.z % params.y, params.y, params.mirrored >> 1u),
        mirror(i % params.z, params.z, params.mirrored >> 2u),
    );
}
