// The sum of linear_tiled's parts in their order, then bias, GELU and residual.
//   sums      (SPLIT, rows, columns)
//   b         (columns)
//   residual  (residual_rows, columns), repeated over the rows
//   y         (rows, columns)
#import index

struct Params { rows: u32, columns: u32, depth: u32, residual_rows: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> sums: array<vec4<f32>>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<vec4<f32>>;
#end
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;
#import linear_end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let quads = params.columns / 4u;
    let size = params.rows * quads;
    if (index >= size) {
        return;
    }
    var sum = sums[index];
    for (var part = 1u; part < SPLIT; part += 1u) {
        sum += sums[part * size + index];
    }
    finish(index / quads, index % quads, sum);
}
