// The logits of one window, added up over its mirrored passes, into sums that are rounded to half precision each time; behind the
// classes' sums lies that of the weights.
//   weight = to_half(max(product of axes, floor));  sums[k] = to_half(sums[k] + weight passes[k] / count)
//   passes  (K, X, Y, Z)
//   axes    window weights along X, then Y, then Z
//   sums    (folds (K + 1), RX, RY, RZ)
#import half
#import index
#import stitching

struct Params {
    x: u32, y: u32, z: u32, floor: f32,
    start_x: u32, start_y: u32, start_z: u32, ring: u32,
    volume_y: u32, volume_z: u32, classes: u32, first: u32,
    count: f32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> passes: array<f32>;
@group(0) @binding(#) var<storage, read> axes: array<f32>;
@group(0) @binding(#) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = params.x * params.y * params.z;
    let k = index / voxels;
    if (k > params.classes) {
        return;
    }
    let voxel = index % voxels;
    let v = vec3<u32>(voxel / params.z / params.y, voxel / params.z % params.y, voxel % params.z);
    let weight = to_half(window_weight(v));
    var value = weight;
    if (k < params.classes) {
        value = passes[index] / params.count * weight;
    }
    let at = (params.first + k) * params.ring * params.volume_y * params.volume_z + ring_place(v);
    sums[at] = to_half(sums[at] + value);
}
