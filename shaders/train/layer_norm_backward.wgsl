// Gradients of layer norm. The first stage, row by row: dx = rstd (w dy - mean(w dy) - x_hat mean(w dy x_hat)); the second
// (WEIGHTS), one invocation per column and part of the rows: sums of dy x_hat and of dy.
//   x, dy, dx         (rows, width)
//   w                 (width), if AFFINE, else ones
//   rows_at           (rows) of (mean, rstd)
//   factors, offsets  (parts, width): sums of dy x_hat, of dy
#import index

struct Params { rows: u32, width: u32, parts: u32, eps: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read> x: array<f32>;
#if WEIGHTS
@group(0) @binding(#) var<storage, read> rows_at: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read_write> factors: array<f32>;
@group(0) @binding(#) var<storage, read_write> offsets: array<f32>;
#else
#import rows
#if AFFINE
@group(0) @binding(#) var<storage, read> w: array<f32>;
@group(0) @binding(#) var<storage, read_write> rows_at: array<vec2<f32>>;

fn weight(i: u32) -> f32 {
    return w[i];
}
#else
fn weight(i: u32) -> f32 {
    return 1.0;
}
#end
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
#if WEIGHTS
    let index = flat_group(wid, counts) * 64u + lane;
    let column = index % params.width;
    let part = index / params.width;
    if (part >= params.parts) {
        return;
    }
    var factor = 0.0;
    var offset = 0.0;
    for (var row = part; row < params.rows; row += params.parts) {
        let d = dy[row * params.width + column];
        let at = rows_at[row];
        factor = fma(d, (x[row * params.width + column] - at.x) * at.y, factor);
        offset += d;
    }
    factors[index] = factor;
    offsets[index] = offset;
#else
    let row = row_of(flat_group(wid, counts), lane, params.rows);
    if (row >= params.rows) {
        return;
    }
    let first = row * params.width;
    let share = 1.0 / f32(params.width);
    var sum = 0.0;
    for (var i = row_start(lane); i < params.width; i += ROW_STEP) {
        sum += x[first + i];
    }
    let mean = row_sum(lane, sum) * share;
    var squares = 0.0;
    var weighted = 0.0;
    var moved = 0.0;
    for (var i = row_start(lane); i < params.width; i += ROW_STEP) {
        let offset = x[first + i] - mean;
        let d = dy[first + i] * weight(i);
        squares = fma(offset, offset, squares);
        weighted += d;
        moved = fma(d, offset, moved);
    }
    let rstd = 1.0 / sqrt(row_sum(lane, squares) * share + params.eps);
    let plain = row_sum(lane, weighted) * share;
    let scaled = row_sum(lane, moved) * share * rstd;
    for (var i = row_start(lane); i < params.width; i += ROW_STEP) {
        dx[first + i] = rstd * (dy[first + i] * weight(i) - plain - (x[first + i] - mean) * rstd * scaled);
    }
#if AFFINE
    if (row_start(lane) == 0u) {
        rows_at[row] = vec2<f32>(mean, rstd);
    }
#end
#end
}
