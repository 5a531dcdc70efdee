// Before a softmax over classes that lie in several buffers: the logarithm of its denominator, part by part.
//   acc  (classes, outer, ring, inner)   count (outer, ring, inner)
//   lse  (outer, ring, inner): log of the sum of exp(mean logit); FIRST starts it
#import index
#import planes

struct Params { classes: u32, outer: u32, inner: u32, ring: u32, start: u32, planes: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> acc: array<f32>;
@group(0) @binding(#) var<storage, read> count: array<f32>;
@group(0) @binding(#) var<storage, read_write> lse: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= plane_voxels()) {
        return;
    }
    let at = plane_place(index);
    let size = ring_voxels();
    let n = count[at];
#if FIRST
    var most = acc[at] / n;
    var sum = 0.0;
#else
    var most = lse[at];
    var sum = 1.0;
#end
    for (var c = 0u; c < params.classes; c += 1u) {
        let v = acc[c * size + at] / n;
        let top = max(most, v);
        sum = sum * exp(most - top) + exp(v - top);
        most = top;
    }
    lse[at] = most + log(sum);
}
