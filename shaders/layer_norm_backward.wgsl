// Gradients of layer norm. The first stage, one invocation per row: dx = rstd (w dy - mean(w dy) - x_hat mean(w dy x_hat));
// the second (WEIGHTS), one per column and part of the rows: sums of dy x_hat and of dy.
//   x, dy, dx  (rows, width)
//   w          (width)
//   rows_at    (rows) of (mean, rstd)
//   partials   (parts, 2 width): sums of dy x_hat, then of dy
#import index

struct Params { rows: u32, width: u32, parts: u32, eps: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read> x: array<f32>;
#if WEIGHTS
@group(0) @binding(#) var<storage, read> rows_at: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read_write> partials: array<f32>;
#else
@group(0) @binding(#) var<storage, read> w: array<f32>;
@group(0) @binding(#) var<storage, read_write> rows_at: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
#if WEIGHTS
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
    partials[part * 2u * params.width + column] = factor;
    partials[(part * 2u + 1u) * params.width + column] = offset;
#else
    if (index >= params.rows) {
        return;
    }
    let first = index * params.width;
    var sum = 0.0;
    for (var i = 0u; i < params.width; i += 1u) {
        sum += x[first + i];
    }
    let mean = sum / f32(params.width);
    var squares = 0.0;
    for (var i = 0u; i < params.width; i += 1u) {
        let d = x[first + i] - mean;
        squares = fma(d, d, squares);
    }
    let rstd = 1.0 / sqrt(squares / f32(params.width) + params.eps);
    var plain = 0.0;
    var scaled = 0.0;
    for (var i = 0u; i < params.width; i += 1u) {
        let d = dy[first + i] * w[i];
        plain += d;
        scaled = fma(d, (x[first + i] - mean) * rstd, scaled);
    }
    plain /= f32(params.width);
    scaled /= f32(params.width);
    for (var i = 0u; i < params.width; i += 1u) {
        dx[first + i] = rstd * (dy[first + i] * w[i] - plain - (x[first + i] - mean) * rstd * scaled);
    }
    rows_at[index] = vec2<f32>(mean, rstd);
#end
}
