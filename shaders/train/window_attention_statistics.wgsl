// What the gradients of attention within windows take of each query: lse, and delta = sum of do o over a head's row.
//   o, dout     (N, cells, heads d)
//   lse         (N, heads, cells)
//   statistics  (N, heads, cells) of (lse, delta)
#import index

struct Params { samples: u32, cells: u32, heads: u32, d: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> o: array<f32>;
@group(0) @binding(#) var<storage, read> lse: array<f32>;
@group(0) @binding(#) var<storage, read> dout: array<f32>;
@group(0) @binding(#) var<storage, read_write> statistics: array<vec2<f32>>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let cell = index % params.cells;
    let head = index / params.cells % params.heads;
    let n = index / params.cells / params.heads;
    if (n >= params.samples) {
        return;
    }
    let at = ((n * params.cells + cell) * params.heads + head) * params.d;
    var sum = 0.0;
    for (var i = 0u; i < params.d; i += 1u) {
        sum = fma(dout[at + i], o[at + i], sum);
    }
    statistics[index] = vec2<f32>(lse[index], sum);
}
