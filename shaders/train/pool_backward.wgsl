// Gradient of pooling: a window's goes to its first largest value (MAX), or in equal parts to all of it.
//   dx[n, c, q] = sum over windows p that hold q of dy[n, c, p] share(p, q)
//   dy  (N, C, OX, OY, OZ)      a, dx  (N, C, X, Y, Z); a if MAX
#import index

struct Params {
    rows: u32, x: u32, y: u32, z: u32, out_x: u32, out_y: u32, out_z: u32,
    kernel_x: u32, kernel_y: u32, kernel_z: u32, stride_x: u32, stride_y: u32, stride_z: u32,
    padding_x: u32, padding_y: u32, padding_z: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
#if MAX
@group(0) @binding(#) var<storage, read> a: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;

#if MAX
// Whether voxel `q` is the first of the window of output voxel `o` that has its largest value.
fn is_first(row: u32, o: vec3<u32>, q: vec3<u32>) -> bool {
    let stride = vec3<u32>(params.stride_x, params.stride_y, params.stride_z);
    let padding = vec3<u32>(params.padding_x, params.padding_y, params.padding_z);
    var found = false;
    var largest = 0.0;
    var own = false;
    for (var t = 0u; t < params.kernel_x * params.kernel_y * params.kernel_z; t += 1u) {
        let tap = vec3<u32>(t / params.kernel_z / params.kernel_y, t / params.kernel_z % params.kernel_y, t % params.kernel_z);
        let p = o * stride + tap - padding;
        if (p.x >= params.x || p.y >= params.y || p.z >= params.z) {
            continue;
        }
        let v = a[((row * params.x + p.x) * params.y + p.y) * params.z + p.z];
        if (!found || !(v <= largest)) {
            largest = v;
            own = all(p == q);
            found = true;
        }
    }
    return own;
}
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let q = vec3<u32>(index / params.z / params.y % params.x, index / params.z % params.y, index % params.z);
    let row = index / params.z / params.y / params.x;
    if (row >= params.rows) {
        return;
    }
    let stride = vec3<u32>(params.stride_x, params.stride_y, params.stride_z);
    var sum = 0.0;
    for (var t = 0u; t < params.kernel_x * params.kernel_y * params.kernel_z; t += 1u) {
        let tap = vec3<u32>(t / params.kernel_z / params.kernel_y, t / params.kernel_z % params.kernel_y, t % params.kernel_z);
        // Below 0 wraps around and is beyond the end too.
        let start = q + vec3<u32>(params.padding_x, params.padding_y, params.padding_z) - tap;
        let o = start / stride;
        if (any(o * stride != start) || o.x >= params.out_x || o.y >= params.out_y || o.z >= params.out_z) {
            continue;
        }
        let at = ((row * params.out_x + o.x) * params.out_y + o.y) * params.out_z + o.z;
#if MAX
        if (is_first(row, o, q)) {
            sum += dy[at];
        }
#else
        sum += dy[at];
#end
    }
#if MAX
    dx[index] = sum;
#else
    dx[index] = sum / f32(params.kernel_x * params.kernel_y * params.kernel_z);
#end
}
