// Gradient of pooling: a window's goes to its first largest value (MAX), or in equal parts to all of it.
//   dx[n, c, q] = sum over windows p that hold q of dy[n, c, p] share(p, q)
//   dy  (N, C, OX, OY, OZ)      a, dx  (N, C, X, Y, Z); a if MAX
#import index
#import extents

struct Params { g: Extents, rows: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
#if MAX
@group(0) @binding(#) var<storage, read> a: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;

#if MAX
// Whether voxel `q` is the first of the window of output voxel `o` that has its largest value.
fn is_first(row: u32, o: vec3<u32>, q: vec3<u32>) -> bool {
    let stride = vec3<u32>(params.g.stride_x, params.g.stride_y, params.g.stride_z);
    let padding = vec3<u32>(params.g.padding_x, params.g.padding_y, params.g.padding_z);
    var found = false;
    var largest = 0.0;
    var own = false;
    // Taps along Z are unrolled: loops over all taps within a loop over all windows are more than llvmpipe runs.
    for (var t = 0u; t < params.g.kernel_x * params.g.kernel_y; t += 1u) {
        let p = o * stride + vec3<u32>(t / params.g.kernel_y, t % params.g.kernel_y, 0u) - padding;
        if ((p.x >= params.g.x) | (p.y >= params.g.y)) {
            continue;
        }
        let line = ((row * params.g.x + p.x) * params.g.y + p.y) * params.g.z;
#unroll s in 0..KERNEL
        {
            let z = p.z + $su;
            let v = a[line + min(z, params.g.z - 1u)];
            if ((z < params.g.z) & (!found | !(v <= largest))) {
                largest = v;
                own = all(vec3<u32>(p.x, p.y, z) == q);
                found = true;
            }
        }
#end
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
    let q = vec3<u32>(index / params.g.z / params.g.y % params.g.x, index / params.g.z % params.g.y, index % params.g.z);
    let row = index / params.g.z / params.g.y / params.g.x;
    if (row >= params.rows) {
        return;
    }
    let stride = vec3<u32>(params.g.stride_x, params.g.stride_y, params.g.stride_z);
    var sum = 0.0;
    for (var t = 0u; t < params.g.kernel_x * params.g.kernel_y * params.g.kernel_z; t += 1u) {
        let tap = vec3<u32>(t / params.g.kernel_z / params.g.kernel_y, t / params.g.kernel_z % params.g.kernel_y, t % params.g.kernel_z);
        // Below 0 wraps around and is beyond the end too.
        let start = q + vec3<u32>(params.g.padding_x, params.g.padding_y, params.g.padding_z) - tap;
        let o = start / stride;
        if (any(o * stride != start) | (o.x >= params.g.out_x) | (o.y >= params.g.out_y) | (o.z >= params.g.out_z)) {
            continue;
        }
        let at = ((row * params.g.out_x + o.x) * params.g.out_y + o.y) * params.g.out_z + o.z;
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
    dx[index] = sum / f32(params.g.kernel_x * params.g.kernel_y * params.g.kernel_z);
#end
}
