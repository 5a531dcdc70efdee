// Zeroes planes of a ring for the windows to come.
//   acc  (channels, RX, plane)
#import index

struct Params { channels: u32, plane: u32, ring: u32, start: u32, planes: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read_write> acc: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = params.planes * params.plane;
    let c = index / max(voxels, 1u);
    if ((voxels == 0u) | (c >= params.channels)) {
        return;
    }
    let voxel = index % voxels;
    let at = (params.start + voxel / params.plane) % params.ring * params.plane + voxel % params.plane;
    acc[c * params.ring * params.plane + at] = 0.0;
}
