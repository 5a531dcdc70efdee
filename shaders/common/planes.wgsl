// Planes of a ring (outer, ring, inner): `params.planes` of them, from `params.start` on.

// Voxels of all of them.
fn plane_voxels() -> u32 {
    return params.planes * params.outer * params.inner;
}

// Where voxel `i` of them lies in the ring.
fn plane_place(i: u32) -> u32 {
    let plane = (params.start + i / params.inner % params.planes) % params.ring;
    return (i / params.inner / params.planes * params.ring + plane) * params.inner + i % params.inner;
}

// Voxels of the ring.
fn ring_voxels() -> u32 {
    return params.outer * params.ring * params.inner;
}
