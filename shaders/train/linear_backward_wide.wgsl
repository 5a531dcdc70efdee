// The products of a linear layer's gradients, y[i, j] = sum over r of A[i, r] B[r, j], where all rows in memory are whole
// blocks of four values: everything is loaded four values at a time. One invocation holds ROWS x 4 QUADS results.
//   dx: A = dy (rows, depth), B = w (depth, columns)
//   dw: A = dy (depth, rows) TRANSPOSED, B = x (depth, columns); y (parts, rows, columns), `part` of the depth in each
#import index

struct Params { rows: u32, columns: u32, depth: u32, part: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(LANES)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let width = params.columns / 4u;
    let column_tiles = (width + QUADS - 1u) / QUADS;
    let tile = flat_group(wid, counts) * LANES + lane;
    let row_tiles = (params.rows + ROWS - 1u) / ROWS;
    let row = tile / column_tiles % row_tiles * ROWS;
    let column = tile % column_tiles * QUADS;
    let part = tile / column_tiles / row_tiles;
    if (part * params.part >= params.depth) {
        return;
    }
    // Rows and columns beyond the end repeat the last ones and are dropped at the end.
#unroll q in 0..QUADS
    let b_$q = min(column + $qu, width - 1u);
#end
#unroll i in 0..ROWS
#unroll q in 0..QUADS
    var sum_$i_$q = vec4<f32>();
#end
#end
#if TRANSPOSED
    let height = params.rows / 4u;
#unroll i in 0..ROWS4
    let a_$i = min(row / 4u + $iu, height - 1u);
#end
    for (var r = part * params.part; r < min((part + 1u) * params.part, params.depth); r += 1u) {
#unroll q in 0..QUADS
        let v_$q = b[r * width + b_$q];
#end
#unroll i in 0..ROWS4
        {
            let u = a[r * height + a_$i];
#unroll q in 0..QUADS
            sum_$(i*4)_$q = fma(vec4<f32>(u.x), v_$q, sum_$(i*4)_$q);
            sum_$(i*4+1)_$q = fma(vec4<f32>(u.y), v_$q, sum_$(i*4+1)_$q);
            sum_$(i*4+2)_$q = fma(vec4<f32>(u.z), v_$q, sum_$(i*4+2)_$q);
            sum_$(i*4+3)_$q = fma(vec4<f32>(u.w), v_$q, sum_$(i*4+3)_$q);
#end
        }
#end
    }
#else
    let steps = params.depth / 4u;
#unroll i in 0..ROWS
    let a_$i = min(row + $iu, params.rows - 1u) * steps;
#end
    for (var r = 0u; r < steps; r += 1u) {
#unroll q in 0..QUADS
#unroll j in 0..4
        let v_$q_$j = b[(r * 4u + $ju) * width + b_$q];
#end
#end
#unroll i in 0..ROWS
        {
            let u = a[a_$i + r];
#unroll q in 0..QUADS
            sum_$i_$q = fma(vec4<f32>(u.w), v_$q_3, fma(vec4<f32>(u.z), v_$q_2, fma(vec4<f32>(u.y), v_$q_1, fma(vec4<f32>(u.x), v_$q_0, sum_$i_$q))));
#end
        }
#end
    }
#end
#unroll i in 0..ROWS
#unroll q in 0..QUADS
    if ((row + $iu < params.rows) & (column + $qu < width)) {
        y[(part * params.rows + row + $iu) * width + column + $qu] = sum_$i_$q;
    }
#end
#end
}
