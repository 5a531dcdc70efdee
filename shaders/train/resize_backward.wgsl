// Gradient of resampling along one axis: dx[a, i, b] = sum over o of share(o, i) dy[a, o, b].
//   dy  (outer, out, inner)      dx  (outer, size, inner)
#import index

struct Params { outer: u32, size: u32, out: u32, inner: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;
#import between

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let inner = index % params.inner;
    let i = index / params.inner % params.size;
    let outer = index / params.inner / params.size;
    if (outer >= params.outer) {
        return;
    }
    let row = outer * params.out;
    // Voxels that may lie within one of this: their positions are between i - 1 and i + 1.
    let first = max(i, 1u) - 1u;
    let begin = max(first * params.out / params.size, 1u) - 1u;
    let end = min((i + 2u) * params.out / params.size + 2u, params.out);
    var sum = 0.0;
    for (var o = begin; o < end; o += 1u) {
        let b = between(o, params.size, params.out);
        let share = select(0.0, 1.0 - b.share, b.low == i) + select(0.0, b.share, b.high == i);
        sum = fma(share, dy[(row + o) * params.inner + inner], sum);
    }
    dx[index] = sum;
}
