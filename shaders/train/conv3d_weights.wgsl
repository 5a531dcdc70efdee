// First stage of the weight gradient of a convolution with any kernel, stride and padding, for one source: each part takes
// every parts-th row of voxels along Z.
//   dw[c, t, k] = sum over n, p of a[n, c, p stride + t - padding] d[n, k, p]; a = act_0(norm_0(x_0)), d = act_1(norm_1(x_1))
//   x_0       (N, C, X, Y, Z)     x_1  (N, K, OX, OY, OZ)
//   partials  (parts, total) of vec4: [c][tap][K padded to 4], from `first` on
// One invocation takes STEP voxels at a time and holds HELD channels of x_0 x 4 of x_1 x the taps along Z.
#import index

struct Params {
    x: u32, y: u32, z: u32, channels: u32,
    out_x: u32, out_y: u32, out_z: u32, k: u32,
    kernel_x: u32, kernel_y: u32, stride_x: u32, stride_y: u32,
    padding_x: u32, padding_y: u32, padding_z: u32, first: u32,
    n: u32, parts: u32, total: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import term 0
@group(0) @binding(#) var<storage, read> x_1: array<f32>;
#import term 1
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;

fn large(row: u32, at: i32, f: vec3<f32>) -> f32 {
    let inside = at >= 0 && at < i32(params.z);
    return select(0.0, value_0(x_0[row + u32(clamp(at, 0, i32(params.z) - 1))], f), inside);
}

fn small(row: u32, at: u32, f: vec3<f32>) -> f32 {
    return select(0.0, value_1(x_1[row + min(at, params.out_z - 1u)], f), at < params.out_z);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let c_blocks = (params.channels + HELD - 1u) / HELD;
    let k4 = (params.k + 3u) / 4u;
    let areas = params.kernel_x * params.kernel_y;
    let quad = index % k4;
    let c = index / k4 % c_blocks * HELD;
    let t = index / k4 / c_blocks % areas;
    let part = index / k4 / c_blocks / areas;
    if (part >= params.parts) {
        return;
    }
    let plane = params.y * params.z;
    let out_plane = params.out_y * params.out_z;
    // Channels beyond the last repeat it and are dropped at the end.
#unroll i in 0..HELD
    let c_$i = min(c + $iu, params.channels - 1u);
#unroll s in 0..KERNEL
    var sum_$i_$s = vec4<f32>();
#end
#end
#unroll j in 0..4
    let k_$j = min(quad * 4u + $ju, params.k - 1u);
#end
    for (var r = part; r < params.n * params.out_x * params.out_y; r += params.parts) {
        let n = r / (params.out_x * params.out_y);
        let px = r / params.out_y % params.out_x;
        let py = r % params.out_y;
        // Below 0 wraps around and is beyond the end too.
        let qx = px * params.stride_x + t / params.kernel_y - params.padding_x;
        let qy = py * params.stride_y + t % params.kernel_y - params.padding_y;
        if (qx >= params.x || qy >= params.y) {
            continue;
        }
#unroll j in 0..4
        let d_$j = (n * params.k + k_$j) * params.out_x * out_plane + px * out_plane + py * params.out_z;
        let g_$j = factors_1(n * params.k + k_$j, k_$j);
#end
#unroll i in 0..HELD
        let from_$i = (n * params.channels + c_$i) * params.x * plane + qx * plane + qy * params.z;
        let f_$i = factors_0(n * params.channels + c_$i, c_$i);
#end
        for (var z = 0u; z < params.out_z; z += STEP) {
#unroll v in 0..STEP
            let d4_$v = vec4<f32>(small(d_0, z + $vu, g_0), small(d_1, z + $vu, g_1), small(d_2, z + $vu, g_2), small(d_3, z + $vu, g_3));
#end
            let left = i32(z * STRIDE) - i32(params.padding_z);
#unroll i in 0..HELD
            {
#unroll v in 0..SPAN
                let a_$v = large(from_$i, left + $v, f_$i);
#end
#unroll s in 0..KERNEL
#unroll v in 0..STEP
                sum_$i_$s = fma(vec4<f32>(a_$(v*STRIDE+s)), d4_$v, sum_$i_$s);
#end
#end
            }
#end
        }
    }
#unroll i in 0..HELD
    if (c + $iu < params.channels) {
        let k = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
#unroll s in 0..KERNEL
        partials[part * params.total + params.first + (((c + $iu) * areas + t) * KERNEL + $su) * k4 + quad] =
            select(vec4<f32>(), sum_$i_$s, k < vec4<u32>(params.k));
#end
    }
#end
}
