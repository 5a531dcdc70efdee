// Sums of folds in half precision to their mean: each fold's sum over its weight, their sum, over their number, rounded each time.
//   halves  (folds (K + 1), outer, ring, inner), behind the classes of a fold its weights
//   mean    (K, outer, ring, inner)
#import half
#import index
#import planes

struct Params { classes: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32, folds: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> halves: array<f32>;
@group(0) @binding(#) var<storage, read_write> mean: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = plane_voxels();
    let k = index / max(voxels, 1u);
    if ((voxels == 0u) | (k >= params.classes)) {
        return;
    }
    let at = plane_place(index % voxels);
    let size = ring_voxels();
    var sum = 0.0;
    for (var fold = 0u; fold < params.folds; fold += 1u) {
        let first = fold * (params.classes + 1u);
        sum = to_half(sum + to_half(halves[(first + k) * size + at] / halves[(first + params.classes) * size + at]));
    }
    if (params.folds > 1u) {
        sum = to_half(sum / f32(params.folds));
    }
    mean[k * size + at] = sum;
}
