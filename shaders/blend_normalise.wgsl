// Sums of weighted logits to means, and on to class probabilities, in place.
//   mean = acc / count;  SOFTMAX: exp(mean - lse);  SIGMOID: 1 / (1 + exp(-mean));  else the mean
//   acc  (classes, outer, ring, inner)   count (outer, ring, inner)   lse (outer, ring, inner)
#import index
#import planes

struct Params { classes: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> count: array<f32>;
#if SOFTMAX
@group(0) @binding(#) var<storage, read> lse: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> acc: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = plane_voxels();
    let c = index / voxels;
    if (c >= params.classes) {
        return;
    }
    let at = plane_place(index % voxels);
    let i = c * ring_voxels() + at;
    var v = acc[i] / count[at];
#if SOFTMAX
    v = exp(v - lse[at]);
#end
#if SIGMOID
    v = 1.0 / (1.0 + exp(-clamp(v, -80.0, 80.0)));
#end
    acc[i] = v;
}
