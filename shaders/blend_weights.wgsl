// The sum of window weights per voxel: count += weight, on the same ring as the logits.
//   axes   window weights along X, then Y, then Z
//   count  (RX, RY, RZ)
#import index
#import stitching

struct Params {
    x: u32, y: u32, z: u32, floor: f32,
    start_x: u32, start_y: u32, start_z: u32, ring: u32,
    volume_y: u32, volume_z: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> axes: array<f32>;
@group(0) @binding(#) var<storage, read_write> count: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let voxel = flat_group(wid, counts) * 64u + lane;
    if (voxel >= params.x * params.y * params.z) {
        return;
    }
    let v = vec3<u32>(voxel / params.z / params.y, voxel / params.z % params.y, voxel % params.z);
    count[ring_place(v)] += window_weight(v);
}
