// Channels from one tensor to another: y[n, first_y + c, v] = x[n, first_x + c, v] for c < count
//   x  (N, channels_x, voxels)      y  (N, channels_y, voxels)
#import index

struct Params { samples: u32, count: u32, voxels: u32, channels_x: u32, first_x: u32, channels_y: u32, first_y: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let size = params.count * params.voxels;
    if (index >= params.samples * size) {
        return;
    }
    let n = index / size;
    let inside = index % size;
    y[(n * params.channels_y + params.first_y) * params.voxels + inside] =
        x[(n * params.channels_x + params.first_x) * params.voxels + inside];
}
