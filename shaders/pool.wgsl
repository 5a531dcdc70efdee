// Pooling of a value that is not stored yet: the largest of a window (MAX), or the mean, for which padding counts as zeros.
//   y[n, c, p] = max or mean over t of a[n, c, p stride + t - padding]
//   x_0, x_1  (N, C, X, Y, Z)      y  (N, C, OX, OY, OZ)
#import index
#import values

struct Params {
    rows: u32, own: u32, x: u32, y: u32, z: u32, out_x: u32, out_y: u32, out_z: u32,
    kernel_x: u32, kernel_y: u32, kernel_z: u32, stride_x: u32, stride_y: u32, stride_z: u32,
    padding_x: u32, padding_y: u32, padding_z: u32,
}
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
    let oz = index % params.out_z;
    let oy = index / params.out_z % params.out_y;
    let ox = index / params.out_z / params.out_y % params.out_x;
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
    var found = false;
    var result = 0.0;
    for (var t = 0u; t < params.kernel_x * params.kernel_y * params.kernel_z; t += 1u) {
        // Below 0 wraps around and is beyond the end too.
        let qx = ox * params.stride_x + t / params.kernel_z / params.kernel_y - params.padding_x;
        let qy = oy * params.stride_y + t / params.kernel_z % params.kernel_y - params.padding_y;
        let qz = oz * params.stride_z + t % params.kernel_z - params.padding_z;
        if (qx >= params.x || qy >= params.y || qz >= params.z) {
            continue;
        }
        let at = ((row * params.x + qx) * params.y + qy) * params.z + qz;
#if SECOND
        let a = whole(values_0(x_0[at], f_0) + values_1(x_1[at], f_1), slope);
#else
        let a = values_0(x_0[at], f_0);
#end
#if MAX
        // Not a number is passed on, as torch does.
        let larger = !found || !(a <= result);
        result = select(result, a, larger);
        found = true;
#else
        result += a;
#end
    }
#if MAX
    y[index] = result;
#else
    y[index] = result / f32(params.kernel_x * params.kernel_y * params.kernel_z);
#end
}
