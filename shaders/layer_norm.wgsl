// y = (x - mean) / sqrt(var + eps) * w + b over the last axis, biased variance; w and b if AFFINE.
//   x, y  (rows, width)
//   w, b  (width)
#import index
#import rows

struct Params { rows: u32, width: u32, eps: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
#if AFFINE
@group(0) @binding(#) var<storage, read> w: array<f32>;
@group(0) @binding(#) var<storage, read> b: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(flat_group(wid, counts), lane, params.rows);
    if (row >= params.rows) {
        return;
    }
    let first = row * params.width;
    var sum = 0.0;
    for (var i = row_start(lane); i < params.width; i += ROW_STEP) {
        sum += x[first + i];
    }
    let mean = row_sum(lane, sum) / f32(params.width);
    var squares = 0.0;
    for (var i = row_start(lane); i < params.width; i += ROW_STEP) {
        let d = x[first + i] - mean;
        squares = fma(d, d, squares);
    }
    let rstd = 1.0 / sqrt(row_sum(lane, squares) / f32(params.width) + params.eps);
    for (var i = row_start(lane); i < params.width; i += ROW_STEP) {
        let v = (x[first + i] - mean) * rstd;
#if AFFINE
        y[first + i] = fma(v, w[i], b[i]);
#else
        y[first + i] = v;
#end
    }
}
