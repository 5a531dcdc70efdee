// A window in a ring (RX, RY, RZ), as long as the volume along all axes but the ring's: where its voxel `v` lies, and its weight.

fn ring_place(v: vec3<u32>) -> u32 {
    let row = (params.start_x + v.x) % params.ring * params.volume_y + (params.start_y + v.y) % params.volume_y;
    return row * params.volume_z + (params.start_z + v.z) % params.volume_z;
}

fn window_weight(v: vec3<u32>) -> f32 {
    return max(axes[v.x] * axes[params.x + v.y] * axes[params.x + params.y + v.z], params.floor);
}
