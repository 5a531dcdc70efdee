// y = (x - mean) / sqrt(var + eps) * w + b over the last axis, biased variance.
//   x, y  (rows, width)
//   w, b  (width)
// One invocation per row, or, SHARED, a group: barriers are slow on software adapters.
#import index

struct Params { rows: u32, width: u32, eps: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read> w: array<f32>;
@group(0) @binding(#) var<storage, read> b: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

#if SHARED
#import group_sum
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
#if SHARED
    // Groups of the grid's overhang repeat the last row, so that barriers stay uniform.
    let row = min(flat_group(wid, counts), params.rows - 1u);
    let start = lane;
    let step = 64u;
#else
    let row = flat_group(wid, counts) * 64u + lane;
    if (row >= params.rows) {
        return;
    }
    let start = 0u;
    let step = 1u;
#end
    let first = row * params.width;
    var sum = 0.0;
    for (var i = start; i < params.width; i += step) {
        sum += x[first + i];
    }
#if SHARED
    sum = group_sum(lane, sum);
#end
    let mean = sum / f32(params.width);
    var squares = 0.0;
    for (var i = start; i < params.width; i += step) {
        let d = x[first + i] - mean;
        squares = fma(d, d, squares);
    }
#if SHARED
    squares = group_sum(lane, squares);
#end
    let rstd = 1.0 / sqrt(squares / f32(params.width) + params.eps);
    for (var i = start; i < params.width; i += step) {
        y[first + i] = fma((x[first + i] - mean) * rstd, w[i], b[i]);
    }
}
