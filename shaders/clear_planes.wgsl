// Zeroes planes of a ring for the windows to come.
//   acc  (channels, outer, ring, inner)
#import index
#import planes

struct Params { channels: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read_write> acc: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = plane_voxels();
    let c = index / max(voxels, 1u);
    if ((voxels == 0u) | (c >= params.channels)) {
        return;
    }
    acc[c * ring_voxels() + plane_place(index % voxels)] = 0.0;
}
