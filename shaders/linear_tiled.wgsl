// y = x W^T + b, then GELU, then + residual; with workgroup memory, for depths and columns that are multiples of four.
//   x         (rows, depth)
//   w         (columns, depth)
//   b         (columns)
//   residual  (residual_rows, columns), repeated over the rows
//   y         (rows, columns)
// A group of LANES has a tile of 4 LANE_ROWS R x 4 LANE_COLUMNS C results, an invocation R x C blocks of 4 x 4 of them.
// SPLIT > 1 gives each group a part of the depth: sums go to `partial` (SPLIT, rows, columns) for linear_merge.
// Both operands stand in workgroup memory with the depth as the slow axis, so that every read is a vec4, and those of
// neighbouring lanes are neighbours. The next step's values are on their way while this step's are multiplied.
#import index
#import weights

struct Params { rows: u32, columns: u32, depth: u32, residual_rows: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if PARTIAL
@group(0) @binding(#) var<storage, read_write> sums: array<vec4<f32>>;
#else
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<vec4<f32>>;
#end
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;
#import linear_end
#end

const LANE_ROWS = LANES / LANE_COLUMNS;
const ROW_QUADS = LANE_ROWS * R;
const COLUMN_QUADS = LANE_COLUMNS * C;
// Blocks of 4 x 4 values in a step of 16 along the depth.
const X_BLOCKS = ROW_QUADS * 4u;
const BLOCKS = X_BLOCKS + COLUMN_QUADS * 4u;

var<workgroup> sh_x: array<vec4<f32>, ROW_QUADS * 16u>;
var<workgroup> sh_w: array<vec4<f32>, COLUMN_QUADS * 16u>;

// A block's place: 8 neighbouring lanes take neighbouring quads, the next 8 the next four values of the depth. Their
// stores meet no bank twice, and 32 lanes read 64 bytes of a row.
fn quad_of(block: u32) -> u32 {
    return block % 8u + block / 32u * 8u;
}
fn step_of(block: u32) -> u32 {
    return block / 8u % 4u;
}

// Four rows x four values of the depth, turned; zeros beyond the depth. Rows beyond the last repeat it.
fn fetch(block: u32, row: u32, column: u32, first: u32, end: u32) -> mat4x4<f32> {
    let k = first + step_of(block);
    if ((block >= BLOCKS) | (k >= end)) {
        return mat4x4<f32>();
    }
    let steps = params.depth / 4u;
    if (block < X_BLOCKS) {
        let at = row + quad_of(block) * 4u;
        let last = params.rows - 1u;
        return transpose(mat4x4<f32>(
            x[min(at, last) * steps + k], x[min(at + 1u, last) * steps + k],
            x[min(at + 2u, last) * steps + k], x[min(at + 3u, last) * steps + k],
        ));
    }
    let at = column + quad_of(block - X_BLOCKS) * 4u;
    let last = params.columns - 1u;
    return transpose(mat4x4<f32>(
        weight4(min(at, last) * steps + k), weight4(min(at + 1u, last) * steps + k),
        weight4(min(at + 2u, last) * steps + k), weight4(min(at + 3u, last) * steps + k),
    ));
}

fn stage(block: u32, values: mat4x4<f32>) {
    if (block < X_BLOCKS) {
        let at = step_of(block) * 4u * ROW_QUADS + quad_of(block);
#unroll j in 0..4
        sh_x[at + $ju * ROW_QUADS] = values[$j];
#end
    } else if (block < BLOCKS) {
        let at = step_of(block) * 4u * COLUMN_QUADS + quad_of(block - X_BLOCKS);
#unroll j in 0..4
        sh_w[at + $ju * COLUMN_QUADS] = values[$j];
#end
    }
}

@compute @workgroup_size(LANES)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row_tiles = (params.rows + ROW_QUADS * 4u - 1u) / (ROW_QUADS * 4u);
    let column_tiles = (params.columns + COLUMN_QUADS * 4u - 1u) / (COLUMN_QUADS * 4u);
    // Groups that run together share a tile of the weights.
    let group = flat_group(wid, counts);
    let row = group % row_tiles * ROW_QUADS * 4u;
    let column = group / row_tiles % column_tiles * COLUMN_QUADS * 4u;
    let part = group / row_tiles / column_tiles;
    if (part >= SPLIT) {
        return;
    }
    let steps = params.depth / 4u;
    let share = (steps + 4u * SPLIT - 1u) / (4u * SPLIT) * 4u;
    let start = part * share;
    let end = min(start + share, steps);
    let lane_row = lane / LANE_COLUMNS;
    let lane_column = lane % LANE_COLUMNS;
#unroll r in 0..R
#unroll c in 0..C
#unroll j in 0..4
    var sum_$r_$c_$j = vec4<f32>();
#end
#end
#end
#unroll i in 0..ITEMS
    var next_$i = fetch(lane + $iu * LANES, row, column, start, end);
#end
    for (var k = start; k < end; k += 4u) {
        workgroupBarrier();
#unroll i in 0..ITEMS
        stage(lane + $iu * LANES, next_$i);
#end
        workgroupBarrier();
#unroll i in 0..ITEMS
        next_$i = fetch(lane + $iu * LANES, row, column, k + 4u, end);
#end
        for (var s = 0u; s < 16u; s += UNROLL) {
#unroll u in 0..UNROLL
            {
#unroll r in 0..R
                let a_$r = sh_x[(s + $uu) * ROW_QUADS + lane_row + $ru * LANE_ROWS];
#end
#unroll c in 0..C
                let b_$c = sh_w[(s + $uu) * COLUMN_QUADS + lane_column + $cu * LANE_COLUMNS];
#end
#unroll r in 0..R
#unroll c in 0..C
#unroll j in 0..4
                sum_$r_$c_$j = fma(vec4<f32>(a_$r[$j]), b_$c, sum_$r_$c_$j);
#end
#end
#end
            }
#end
        }
    }
#unroll r in 0..R
#unroll c in 0..C
#unroll j in 0..4
    {
        let at = row + (lane_row + $ru * LANE_ROWS) * 4u + $ju;
        let quad = column / 4u + lane_column + $cu * LANE_COLUMNS;
#if PARTIAL
        if ((at < params.rows) & (quad < params.columns / 4u)) {
            sums[(part * params.rows + at) * (params.columns / 4u) + quad] = sum_$r_$c_$j;
        }
#else
        finish(at, quad, sum_$r_$c_$j);
#end
    }
#end
#end
#end
}
