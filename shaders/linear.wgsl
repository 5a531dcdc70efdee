// y = x W^T + b, then GELU, then + residual; without workgroup memory: one invocation holds ROWS x COLUMNS results.
//   x         (rows, depth)
//   w         (columns, depth)
//   b         (columns)
//   residual  (residual_rows, columns), repeated over the rows
//   y         (rows, columns); with KEEP also the argument of GELU, for the gradient
#import index
#import activation
#import weights

struct Params { rows: u32, columns: u32, depth: u32, residual_rows: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if SCALAR
@group(0) @binding(#) var<storage, read> x: array<f32>;
#else
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#end
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;
#if KEEP
@group(0) @binding(#) var<storage, read_write> argument: array<f32>;
#end

fn finish(row: u32, column: u32, sum: f32) {
    if ((row >= params.rows) | (column >= params.columns)) {
        return;
    }
    var v = sum;
#if BIAS
    v += b[column];
#end
#if KEEP
    argument[row * params.columns + column] = v;
#end
#if GELU
    v = gelu(v);
#end
#if RESIDUAL
    v += residual[(row % params.residual_rows) * params.columns + column];
#end
    y[row * params.columns + column] = v;
}

@compute @workgroup_size(LANES)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column_tiles = (params.columns + COLUMNS - 1u) / COLUMNS;
    let tile = flat_group(wid, counts) * LANES + lane;
    let row = tile / column_tiles * ROWS;
    let column = tile % column_tiles * COLUMNS;
    if (row >= params.rows) {
        return;
    }
#if SCALAR
    let steps = params.depth;
#else
    let steps = params.depth / 4u;
#end
    // Rows and columns beyond the end repeat the last one and are dropped at the end.
#unroll r in 0..ROWS
    let x_$r = min(row + $ru, params.rows - 1u) * steps;
#end
#unroll c in 0..COLUMNS
    let w_$c = min(column + $cu, params.columns - 1u) * steps;
#end
#unroll r in 0..ROWS
#unroll c in 0..COLUMNS
    var sum_$r_$c = 0.0;
#end
#end
    for (var k = 0u; k < steps; k += 1u) {
#unroll r in 0..ROWS
        let a_$r = x[x_$r + k];
#end
#unroll c in 0..COLUMNS
#if SCALAR
        let v_$c = weight(w_$c + k);
#else
        let v_$c = weight4(w_$c + k);
#end
#unroll r in 0..ROWS
#if SCALAR
        sum_$r_$c = fma(a_$r, v_$c, sum_$r_$c);
#else
        sum_$r_$c += dot(a_$r, v_$c);
#end
#end
#end
    }
#unroll r in 0..ROWS
#unroll c in 0..COLUMNS
    finish(row + $ru, column + $cu, sum_$r_$c);
#end
#end
}
