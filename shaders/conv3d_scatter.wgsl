// The transposed product of a convolution with any kernel, stride and padding, for one source; without workgroup memory: one
// invocation holds VOX voxels along Z, a multiple of the stride, x 4 QUADS output channels.
//   y[n, k, p stride + t - padding] = b[k] + sum over c, t, p of w[c, k, t] a[n, c, p], a = act(norm(x)); with ADD, that is
//   added to y
//   x_0  (N, C, X, Y, Z)
//   w    [C][tap, last first][K padded to 4], from channel `first` on
//   b    (K), if BIAS
//   y    (N, K, OX, OY, OZ)
// Output voxel v of a block meets, by the tap s counted from the last, input voxel (v + s + OFFSET) / STRIDE - BEFORE of the
// block's first where that is whole.
#import index
#import weights

struct Params {
    x: u32, y: u32, z: u32, channels: u32,
    out_x: u32, out_y: u32, out_z: u32, k: u32,
    kernel_x: u32, kernel_y: u32, stride_x: u32, stride_y: u32,
    padding_x: u32, padding_y: u32, padding_z: u32, first: u32,
    n: u32, tiles: u32, groups: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import term 0
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#import bias
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

fn load(row: u32, at: i32, f: vec3<f32>) -> f32 {
    let inside = at >= 0 && at < i32(params.z);
    return select(0.0, value_0(x_0[row + u32(clamp(at, 0, i32(params.z) - 1))], f), inside);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Tiles of a group are neighbours in space and share their output channels.
    let group = flat_group(wid, counts);
    let blocks = (params.k + 4u * QUADS - 1u) / (4u * QUADS);
    let quad = group / params.groups % blocks * QUADS;
    let n = group / params.groups / blocks;
    let tile = group % params.groups * 64u + lane;
    if (tile >= params.tiles || n >= params.n) {
        return;
    }
    let z_tiles = (params.out_z + VOX - 1u) / VOX;
    let z = tile % z_tiles * VOX;
    let py = tile / z_tiles % params.out_y;
    let px = tile / z_tiles / params.out_y;
    let plane = params.y * params.z;
    let voxels = params.x * plane;
    let k4 = (params.k + 3u) / 4u;
    let taps = params.kernel_x * params.kernel_y * KERNEL;
    let left = i32(z / STRIDE) - i32(BEFORE);
#unroll o in 0..QUADS
    // A block may reach beyond the last channel: the last weights are repeated and the results dropped.
    let q_$o = min(quad + $ou, k4 - 1u);
#if BIAS
    let b_$o = bias4(q_$o);
#else
    let b_$o = vec4<f32>();
#end
#unroll v in 0..VOX
    var sum_$v_$o = b_$o;
#end
#end
    for (var c = 0u; c < params.channels; c += 1u) {
        let channel = (n * params.channels + c) * voxels;
        let weights = (params.first + c) * taps * k4;
        let f = factors_0(n * params.channels + c, c);
        for (var t = 0u; t < params.kernel_x * params.kernel_y; t += 1u) {
            // Below 0 wraps around and is beyond the end too.
            let sx = px + params.padding_x + t / params.kernel_y + 1u - params.kernel_x;
            let sy = py + params.padding_y + t % params.kernel_y + 1u - params.kernel_y;
            let qx = sx / params.stride_x;
            let qy = sy / params.stride_y;
            if (qx >= params.x || qy >= params.y || qx * params.stride_x != sx || qy * params.stride_y != sy) {
                continue;
            }
            let row = channel + qx * plane + qy * params.z;
#unroll i in 0..SPAN
            let a_$i = load(row, left + $i, f);
#end
#unroll o in 0..QUADS
#unroll s in 0..KERNEL
            {
                let tap = weight4(weights + (t * KERNEL + $su) * k4 + q_$o);
#unroll v in 0..VOX
#if !$(v+s+OFFSET%STRIDE)
                sum_$v_$o = fma(vec4<f32>(a_$(v+s+OFFSET/STRIDE)), tap, sum_$v_$o);
#end
#end
            }
#end
#end
        }
    }
    let out_plane = params.out_y * params.out_z;
    let at = px * out_plane + py * params.out_z + z;
#unroll o in 0..QUADS
#unroll j in 0..4
    {
        let k = (quad + $ou) * 4u + $ju;
        if (k < params.k) {
            let out = (n * params.k + k) * params.out_x * out_plane + at;
#unroll v in 0..VOX
            if (z + $vu < params.out_z) {
#if ADD
                y[out + $vu] += sum_$v_$o[$j];
#else
                y[out + $vu] = sum_$v_$o[$j];
#end
            }
#end
        }
    }
#end
#end
}
