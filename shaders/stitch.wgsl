// A window's logits into the sums of a volume: acc[k] += weight logits[first_class + k], on a ring of planes along one axis.
//   logits  (1, K, X, Y, Z)
//   axes    window weights along X, then Y, then Z; weight = max(their product, floor)
//   acc     (classes, RX, RY, RZ), as long as the volume along all axes but the ring's
//   mirrored  a bit for each axis along which the network saw the window mirrored
#import index
#import mirror
#import stitching

struct Params {
    x: u32, y: u32, z: u32, floor: f32,
    start_x: u32, start_y: u32, start_z: u32, ring: u32,
    volume_y: u32, volume_z: u32, classes: u32, first_class: u32,
    mirrored: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> logits: array<f32>;
@group(0) @binding(#) var<storage, read> axes: array<f32>;
@group(0) @binding(#) var<storage, read_write> acc: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = params.x * params.y * params.z;
    if (index >= params.classes * voxels) {
        return;
    }
    let v = mirrored_voxel(index % voxels);
    let at = index / voxels * params.ring * params.volume_y * params.volume_z + ring_place(v);
    acc[at] = fma(window_weight(v), logits[params.first_class * voxels + index], acc[at]);
}
