// Labels as 16-bit numbers, two to a word.
//   best  (voxels) of (score, label)      y  (voxels / 2 rounded up)
#import index

struct Params { voxels: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> best: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read_write> y: array<u32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (2u * index >= params.voxels) {
        return;
    }
    let last = params.voxels - 1u;
    y[index] = u32(best[2u * index].y) | (u32(best[min(2u * index + 1u, last)].y) << 16u);
}
