// Trilinear resampling by whole factors, voxel centres at (i + 1/2) of their size: align_corners false, edges repeated.
//   x_0, x_1  (N, C, X, Y, Z): a value that is not stored yet
//   y         (N, C, X FX, Y FY, Z FZ)
// One invocation makes the FACTOR voxels between two neighbouring input voxels along Z: eight loads for all of them.
#import index
#import values

struct Params { rows: u32, own: u32, x: u32, y: u32, z: u32, factor_x: u32, factor_y: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import value 0
#if SECOND
@group(0) @binding(#) var<storage, read> x_1: array<f32>;
#import value 1
#import sum
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

// Two neighbours along an axis and the share of the second, for output voxel `o`.
struct Between { low: u32, high: u32, share: f32 }

fn between(o: u32, factor: u32, size: u32) -> Between {
    let at = (f32(o) + 0.5) / f32(factor) - 0.5;
    let low = max(at, 0.0);
    let first = u32(low);
    return Between(first, min(first + 1u, size - 1u), low - f32(first));
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let out_x = params.x * params.factor_x;
    let out_y = params.y * params.factor_y;
    let spaces = params.z + 1u;
    let space = index % spaces;
    let oy = index / spaces % out_y;
    let ox = index / spaces / out_y % out_x;
    let row = index / spaces / out_y / out_x;
    if (row >= params.rows) {
        return;
    }
    let channel = row % params.own;
    let f_0 = factors_0(row, channel);
#if SECOND
    let f_1 = factors_1(row, channel);
    let slope = slope_2(channel);
#end
    let bx = between(ox, params.factor_x, params.x);
    let by = between(oy, params.factor_y, params.y);
    // Before the first voxel and after the last both neighbours are that voxel.
    let z_0 = max(space, 1u) - 1u;
    let z_1 = min(space, params.z - 1u);
    let base = row * params.x;
#unroll i in 0..2
#unroll j in 0..2
#unroll l in 0..2
    let at_$i_$j_$l = ((base + select(bx.low, bx.high, $i == 1)) * params.y + select(by.low, by.high, $j == 1)) * params.z + z_$l;
#if SECOND
    let v_$i_$j_$l = whole(values_0(x_0[at_$i_$j_$l], f_0) + values_1(x_1[at_$i_$j_$l], f_1), slope);
#else
    let v_$i_$j_$l = values_0(x_0[at_$i_$j_$l], f_0);
#end
#end
#end
#end
#unroll l in 0..2
    let near_$l = mix(v_0_0_$l, v_0_1_$l, by.share);
    let far_$l = mix(v_1_0_$l, v_1_1_$l, by.share);
    let here_$l = mix(near_$l, far_$l, bx.share);
#end
    let out_z = params.z * FACTOR;
    let to = ((row * out_x + ox) * out_y + oy) * out_z;
    // Where the space before the first voxel would begin: half a factor outside.
    for (var j = 0u; j < FACTOR; j += 1u) {
        // Below 0 wraps around and is beyond the end too.
        let o = space * FACTOR + j + FACTOR / 2u - FACTOR;
        if (o < out_z) {
            let share = (f32(j) + select(0.5, 0.0, FACTOR % 2u == 1u)) / f32(FACTOR);
            y[to + o] = mix(here_0, here_1, share);
        }
    }
}
