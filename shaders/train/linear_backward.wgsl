// The products of a linear layer's gradients: y[i, j] = sum over r of A[i, r] B[r, j].
//   dx: A = dy (rows, depth), B = w (depth, columns)
//   dw: A = dy (depth, rows) TRANSPOSED, B = x (depth, columns); y (parts, rows, columns), `part` of the depth in each
// Without workgroup memory: one invocation holds ROWS x 4 QUADS results. SCALAR is for columns that are no multiple of 4.
#import index

struct Params { rows: u32, columns: u32, depth: u32, part: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> a: array<f32>;
#if SCALAR
@group(0) @binding(#) var<storage, read> b: array<f32>;
#else
@group(0) @binding(#) var<storage, read> b: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

#if SCALAR
fn load(row: u32, column: u32) -> vec4<f32> {
    let last = params.columns - 1u;
    let at = row * params.columns;
    return vec4<f32>(
        b[at + min(column, last)], b[at + min(column + 1u, last)],
        b[at + min(column + 2u, last)], b[at + min(column + 3u, last)],
    );
}
#else
fn load(row: u32, column: u32) -> vec4<f32> {
    return b[(row * params.columns + column) / 4u];
}
#end

fn store(first: u32, row: u32, column: u32, v: vec4<f32>) {
    if (row >= params.rows) {
        return;
    }
#unroll j in 0..4
    if (column + $ju < params.columns) {
        y[first + row * params.columns + column + $ju] = v[$j];
    }
#end
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let column_tiles = (params.columns + 4u * QUADS - 1u) / (4u * QUADS);
    let tile = flat_group(wid, counts) * 64u + lane;
    let row_tiles = (params.rows + ROWS - 1u) / ROWS;
    let row = tile / column_tiles % row_tiles * ROWS;
    let column = tile % column_tiles * 4u * QUADS;
    let part = tile / column_tiles / row_tiles;
    if (part * params.part >= params.depth) {
        return;
    }
    // Rows and columns beyond the end repeat the last ones and are dropped at the end.
#unroll i in 0..ROWS
#if TRANSPOSED
    let a_$i = min(row + $iu, params.rows - 1u);
#else
    let a_$i = min(row + $iu, params.rows - 1u) * params.depth;
#end
#unroll q in 0..QUADS
    var sum_$i_$q = vec4<f32>();
#end
#end
#unroll q in 0..QUADS
#if SCALAR
    let column_$q = column + $qu * 4u;
#else
    let column_$q = min(column + $qu * 4u, params.columns - 4u);
#end
#end
    for (var r = part * params.part; r < min((part + 1u) * params.part, params.depth); r += 1u) {
#unroll q in 0..QUADS
        let v_$q = load(r, column_$q);
#end
#unroll i in 0..ROWS
        {
#if TRANSPOSED
            let v = vec4<f32>(a[r * params.rows + a_$i]);
#else
            let v = vec4<f32>(a[a_$i + r]);
#end
#unroll q in 0..QUADS
            sum_$i_$q = fma(v, v_$q, sum_$i_$q);
#end
        }
#end
    }
#unroll i in 0..ROWS
#unroll q in 0..QUADS
    store(part * params.rows * params.columns, row + $iu, column + $qu * 4u, sum_$i_$q);
#end
#end
}
