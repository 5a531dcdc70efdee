// Pooling of a value that is not stored yet: the largest of a window (MAX), or the mean, for which padding counts as zeros.
//   y[n, c, p] = max or mean over t of a[n, c, p stride + t - padding]
//   x_0, x_1  (N, C, X, Y, Z)      y  (N, C, OX, OY, OZ)
#import index
#import extents
#import values

struct Params { g: Extents, rows: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import value 0
#if SECOND
@group(0) @binding(#) var<storage, read> x_1: array<f32>;
#import value 1
#import sum
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let oz = index % params.g.out_z;
    let oy = index / params.g.out_z % params.g.out_y;
    let ox = index / params.g.out_z / params.g.out_y % params.g.out_x;
    let row = index / params.g.out_z / params.g.out_y / params.g.out_x;
    if (row >= params.rows) {
        return;
    }
    let channel = row % params.g.channels;
    let f_0 = factors_0(row, channel);
#if SECOND
    let f_1 = factors_1(row, channel);
    let slope = slope_2(channel);
#end
    var found = false;
    var result = 0.0;
    for (var t = 0u; t < params.g.kernel_x * params.g.kernel_y * params.g.kernel_z; t += 1u) {
        // Below 0 wraps around and is beyond the end too.
        let qx = ox * params.g.stride_x + t / params.g.kernel_z / params.g.kernel_y - params.g.padding_x;
        let qy = oy * params.g.stride_y + t / params.g.kernel_z % params.g.kernel_y - params.g.padding_y;
        let qz = oz * params.g.stride_z + t % params.g.kernel_z - params.g.padding_z;
        if ((qx >= params.g.x) | (qy >= params.g.y) | (qz >= params.g.z)) {
            continue;
        }
        let at = ((row * params.g.x + qx) * params.g.y + qy) * params.g.z + qz;
#if SECOND
        let a = whole(values_0(x_0[at], f_0) + values_1(x_1[at], f_1), slope);
#else
        let a = values_0(x_0[at], f_0);
#end
#if MAX
        // Not a number is passed on, as torch does.
        let larger = !found | !(a <= result);
        result = select(result, a, larger);
        found = true;
#else
        result += a;
#end
    }
#if MAX
    y[index] = result;
#else
    y[index] = result / f32(params.g.kernel_x * params.g.kernel_y * params.g.kernel_z);
#end
}
