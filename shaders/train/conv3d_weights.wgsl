// First stage of the weight gradient of a convolution with any kernel, stride, padding and dilation, for one source: each
// part takes every parts-th row of voxels along Z.
//   dw[c, t, k] = sum over n, p of a[n, c, p stride + t dilation - padding] d[n, k, p]; a = act_0(norm_0(x_0)), d = act_1(norm_1(x_1))
//   x_0       (N, C, X, Y, Z)     x_1  (N, K, OX, OY, OZ)
//   partials  (parts, total) of vec4: [c][tap][K padded to 4], from `first` on
// One invocation takes STEP voxels at a time and holds HELD channels of x_0 x 4 of x_1 x the taps along Z.
#import index
#import extents

struct Params { g: Extents, k: u32, n: u32, first: u32, parts: u32, total: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import term 0
#import row 0
@group(0) @binding(#) var<storage, read> x_1: array<f32>;
#import term 1
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;

fn small(row: u32, at: u32, f: vec3<f32>) -> f32 {
    return select(0.0, value_1(x_1[row + min(at, params.g.out_z - 1u)], f), at < params.g.out_z);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let c_blocks = (params.g.channels + HELD - 1u) / HELD;
    let k4 = (params.k + 3u) / 4u;
    let areas = params.g.kernel_x * params.g.kernel_y;
    let quad = index % k4;
    let c = index / k4 % c_blocks * HELD;
    let t = index / k4 / c_blocks % areas;
    let part = index / k4 / c_blocks / areas;
    if (part >= params.parts) {
        return;
    }
    let plane = params.g.y * params.g.z;
    let out_plane = params.g.out_y * params.g.out_z;
    // Channels beyond the last repeat it and are dropped at the end.
#unroll i in 0..HELD
    let c_$i = min(c + $iu, params.g.channels - 1u);
#unroll s in 0..KERNEL
    var sum_$i_$s = vec4<f32>();
#end
#end
#unroll j in 0..4
    let k_$j = min(quad * 4u + $ju, params.k - 1u);
#end
    for (var r = part; r < params.n * params.g.out_x * params.g.out_y; r += params.parts) {
        let n = r / (params.g.out_x * params.g.out_y);
        let px = r / params.g.out_y % params.g.out_x;
        let py = r % params.g.out_y;
        // Below 0 wraps around and is beyond the end too.
        let qx = px * params.g.stride_x + t / params.g.kernel_y * params.g.dilation_x - params.g.padding_x;
        let qy = py * params.g.stride_y + t % params.g.kernel_y * params.g.dilation_y - params.g.padding_y;
        if ((qx >= params.g.x) | (qy >= params.g.y)) {
            continue;
        }
#unroll j in 0..4
        let d_$j = (n * params.k + k_$j) * params.g.out_x * out_plane + px * out_plane + py * params.g.out_z;
        let g_$j = factors_1(n * params.k + k_$j, k_$j);
#end
#unroll i in 0..HELD
        let from_$i = (n * params.g.channels + c_$i) * params.g.x * plane + qx * plane + qy * params.g.z;
        let f_$i = factors_0(n * params.g.channels + c_$i, c_$i);
#end
        for (var z = 0u; z < params.g.out_z; z += STEP) {
#unroll v in 0..STEP
            let d4_$v = vec4<f32>(small(d_0, z + $vu, g_0), small(d_1, z + $vu, g_1), small(d_2, z + $vu, g_2), small(d_3, z + $vu, g_3));
#end
            let left = i32(z * STRIDE) - i32(params.g.padding_z);
#unroll i in 0..HELD
            {
#if DILATED
#unroll s in 0..KERNEL
#unroll v in 0..STEP
                sum_$i_$s = fma(vec4<f32>(load_0(from_$i, params.g.z, left + $(v*STRIDE) + $(s*DILATION), f_$i)), d4_$v, sum_$i_$s);
#end
#end
#else
#unroll v in 0..SPAN
                let a_$v = load_0(from_$i, params.g.z, left + $v, f_$i);
#end
#unroll s in 0..KERNEL
#unroll v in 0..STEP
                sum_$i_$s = fma(vec4<f32>(a_$(v*STRIDE+s)), d4_$v, sum_$i_$s);
#end
#end
#end
            }
#end
        }
    }
#unroll i in 0..HELD
    if (c + $iu < params.g.channels) {
        let k = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
#unroll s in 0..KERNEL
        partials[part * params.total + params.first + (((c + $iu) * areas + t) * KERNEL + $su) * k4 + quad] =
            select(vec4<f32>(), sum_$i_$s, k < vec4<u32>(params.k));
#end
    }
#end
}
