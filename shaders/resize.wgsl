// Resampling to any size: the nearest voxel, or trilinear, voxel centres at (i + 1/2) of their size, edges repeated.
//   x_0, x_1  (N, C, X, Y, Z): a value that is not stored yet
//   y         (N, C, OX, OY, OZ)
// Positions are whole numbers over twice the size of the result, exact on every adapter.
#import index
#import values

struct Params { rows: u32, own: u32, x: u32, y: u32, z: u32, out_x: u32, out_y: u32, out_z: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import value 0
#if SECOND
@group(0) @binding(#) var<storage, read> x_1: array<f32>;
#import value 1
#import sum
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;
#import between

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let row = index / params.out_z / params.out_y / params.out_x;
    if (row >= params.rows) {
        return;
    }
    let channel = row % params.own;
    let f_0 = factors_0(row, channel);
#if SECOND
    let f_1 = factors_1(row, channel);
    let slope = slope_2(channel);
#end
    let bx = between(index / params.out_z / params.out_y % params.out_x, params.x, params.out_x);
    let by = between(index / params.out_z % params.out_y, params.y, params.out_y);
    let bz = between(index % params.out_z, params.z, params.out_z);
    let base = row * params.x;
#if NEAREST
    let at = ((base + bx.low) * params.y + by.low) * params.z + bz.low;
#if SECOND
    y[index] = whole(values_0(x_0[at], f_0) + values_1(x_1[at], f_1), slope);
#else
    y[index] = values_0(x_0[at], f_0);
#end
#else
#unroll i in 0..2
#unroll j in 0..2
#unroll l in 0..2
    let at_$i_$j_$l = ((base + select(bx.low, bx.high, $i == 1)) * params.y + select(by.low, by.high, $j == 1)) * params.z + select(bz.low, bz.high, $l == 1);
#if SECOND
    let v_$i_$j_$l = whole(values_0(x_0[at_$i_$j_$l], f_0) + values_1(x_1[at_$i_$j_$l], f_1), slope);
#else
    let v_$i_$j_$l = values_0(x_0[at_$i_$j_$l], f_0);
#end
#end
#end
#end
#unroll i in 0..2
#unroll j in 0..2
    let row_$i_$j = mix(v_$i_$j_0, v_$i_$j_1, bz.share);
#end
    let plane_$i = mix(row_$i_0, row_$i_1, by.share);
#end
    y[index] = mix(plane_0, plane_1, bx.share);
#end
}
