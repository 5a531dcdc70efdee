// Gradient of linear resampling by a whole factor along one axis: dx[a, i, b] = sum over o of share(o, i) dy[a, o, b].
//   dy  (outer, size FACTOR, inner)      dx  (outer, size, inner)
#import index

struct Params { outer: u32, size: u32, inner: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;

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
    let row = outer * params.size * FACTOR;
    var sum = 0.0;
    // The output voxels between this one and the one before, then those up to the next; at the edges all of it is this one's.
    for (var j = 0u; j < 2u * FACTOR; j += 1u) {
        // Below 0 wraps around and is beyond the end too.
        let o = i * FACTOR + j + FACTOR / 2u - FACTOR;
        if (o < params.size * FACTOR) {
            let share = (f32(j % FACTOR) + select(0.5, 0.0, FACTOR % 2u == 1u)) / f32(FACTOR);
            let before = j < FACTOR;
            let edge = (before & (i == 0u)) | (!before & (i + 1u == params.size));
            sum = fma(select(select(1.0 - share, share, before), 1.0, edge), dy[(row + o) * params.inner + inner], sum);
        }
    }
    dx[index] = sum;
}
