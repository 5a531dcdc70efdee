// First stage of a convolution's weight gradient, for one source: each part takes every parts-th row of voxels along Z.
//   dw[c, t, k] = sum over n, p of a[n, c, p + t - 1] dy[n, k, p]; a = leaky_relu(scale x + shift) or x
//   x         (N, C, X, Y, Z)     norm  (N, C) of (mean, 1/std, scale, shift)
//   dy        (N, K, X, Y, Z)
//   partials  (parts, total) of vec4: [first + c][tap][K padded to 4]
// One invocation takes four voxels at a time and holds CHANNELS input channels x 4 QUADS output channels x three taps along Z (one if not CUBE).
#import index
#import activation

struct Params { x: u32, y: u32, z: u32, channels: u32, k: u32, n: u32, parts: u32, first: u32, total: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
#if NORM
@group(0) @binding(#) var<storage, read> norm: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;

#if NORM
fn load(at: u32, n: vec4<f32>) -> f32 {
    return leaky_relu(fma(x[at], n.z, n.w));
}
#end

fn store(part: u32, c: u32, t: u32, quad: u32, v: vec4<f32>) {
    let k4 = (params.k + 3u) / 4u;
    if (c < params.channels && quad < k4) {
        let k = vec4<u32>(quad * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
        let at = part * params.total + ((params.first + c) * TAPS + t) * k4 + quad;
        partials[at] = select(vec4<f32>(), v, k < vec4<u32>(params.k));
    }
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let c_blocks = (params.channels + CHANNELS - 1u) / CHANNELS;
    let k_blocks = (params.k + 4u * QUADS - 1u) / (4u * QUADS);
    let k = index % k_blocks * 4u * QUADS;
    let c = index / k_blocks % c_blocks * CHANNELS;
    let plane = params.y * params.z;
    let voxels = params.x * plane;
#if CUBE
    let t = index / k_blocks / c_blocks % 9u;
    let part = index / k_blocks / c_blocks / 9u;
#else
    let part = index / k_blocks / c_blocks;
#end
    if (part >= params.parts) {
        return;
    }
    // Channels beyond the last repeat it and are dropped at the end.
#unroll i in 0..CHANNELS
    let c_$i = min(c + $iu, params.channels - 1u);
#unroll o in 0..QUADS
#if CUBE
    var low_$i_$o = vec4<f32>();
    var high_$i_$o = vec4<f32>();
#end
    var sum_$i_$o = vec4<f32>();
#end
#end
#unroll o in 0..QUADS
#unroll j in 0..4
    let k_$o_$j = min(k + $ou * 4u + $ju, params.k - 1u);
#end
#end
    for (var r = part; r < params.n * params.x * params.y; r += params.parts) {
        let n = r / (params.x * params.y);
        let px = r / params.y % params.x;
        let py = r % params.y;
#if CUBE
        let qx = px + t / 3u;
        let qy = py + t % 3u;
        if (qx < 1u || qx > params.x || qy < 1u || qy > params.y) {
            continue;
        }
        let source = (qx - 1u) * plane + (qy - 1u) * params.z;
#else
        let source = px * plane + py * params.z;
#end
        let row = px * plane + py * params.z;
#unroll o in 0..QUADS
#unroll j in 0..4
        let d_$o_$j = (n * params.k + k_$o_$j) * voxels + row;
#end
#end
#unroll i in 0..CHANNELS
        let x_$i = (n * params.channels + c_$i) * voxels + source;
#if NORM
        let norm_$i = norm[n * params.channels + c_$i];
#end
#if CUBE
        var before_$i = 0.0;
#if NORM
        var here_$i = load(x_$i, norm_$i);
#else
        var here_$i = x[x_$i];
#end
#end
#end
        for (var z = 0u; z < params.z; z += 4u) {
            // Beyond the end of a row the gradient counts as zero, and so does the source.
#unroll j in 0..4
#if EXACT
            let z_$j = z + $ju;
#else
            let z_$j = min(z + $ju, params.z - 1u);
            let in_$j = z + $ju < params.z;
#end
#end
#unroll o in 0..QUADS
#unroll j in 0..4
#if EXACT
            let v_$o_$j = vec4<f32>(dy[d_$o_0 + z_$j], dy[d_$o_1 + z_$j], dy[d_$o_2 + z_$j], dy[d_$o_3 + z_$j]);
#else
            let v_$o_$j = select(vec4<f32>(), vec4<f32>(dy[d_$o_0 + z_$j], dy[d_$o_1 + z_$j], dy[d_$o_2 + z_$j], dy[d_$o_3 + z_$j]), in_$j);
#end
#end
#end
#if CUBE
            let z_4 = min(z + 4u, params.z - 1u);
            let in_4 = z + 4u < params.z;
#end
#unroll i in 0..CHANNELS
            {
#if CUBE
                let a_0 = before_$i;
                let a_1 = here_$i;
#unroll j in 0..3
#if NORM
                let l_$j = load(x_$i + z_$(j+1), norm_$i);
#else
                let l_$j = x[x_$i + z_$(j+1)];
#end
#if EXACT
                let a_$(j+2) = l_$j;
#else
                let a_$(j+2) = select(0.0, l_$j, in_$(j+1));
#end
#end
#if NORM
                let a_5 = select(0.0, load(x_$i + z_4, norm_$i), in_4);
#else
                let a_5 = select(0.0, x[x_$i + z_4], in_4);
#end
#unroll o in 0..QUADS
                low_$i_$o = fma(vec4<f32>(a_3), v_$o_3, fma(vec4<f32>(a_2), v_$o_2, fma(vec4<f32>(a_1), v_$o_1, fma(vec4<f32>(a_0), v_$o_0, low_$i_$o))));
                sum_$i_$o = fma(vec4<f32>(a_4), v_$o_3, fma(vec4<f32>(a_3), v_$o_2, fma(vec4<f32>(a_2), v_$o_1, fma(vec4<f32>(a_1), v_$o_0, sum_$i_$o))));
                high_$i_$o = fma(vec4<f32>(a_5), v_$o_3, fma(vec4<f32>(a_4), v_$o_2, fma(vec4<f32>(a_3), v_$o_1, fma(vec4<f32>(a_2), v_$o_0, high_$i_$o))));
#end
                before_$i = a_4;
                here_$i = a_5;
#else
#unroll j in 0..4
#if NORM
                let a_$j = load(x_$i + z_$j, norm_$i);
#else
                let a_$j = x[x_$i + z_$j];
#end
#end
#unroll o in 0..QUADS
                sum_$i_$o = fma(vec4<f32>(a_3), v_$o_3, fma(vec4<f32>(a_2), v_$o_2, fma(vec4<f32>(a_1), v_$o_1, fma(vec4<f32>(a_0), v_$o_0, sum_$i_$o))));
#end
#end
            }
#end
        }
    }
#unroll i in 0..CHANNELS
#unroll o in 0..QUADS
#if CUBE
    store(part, c + $iu, 3u * t, k / 4u + $ou, low_$i_$o);
    store(part, c + $iu, 3u * t + 1u, k / 4u + $ou, sum_$i_$o);
    store(part, c + $iu, 3u * t + 2u, k / 4u + $ou, high_$i_$o);
#else
    store(part, c + $iu, 0u, k / 4u + $ou, sum_$i_$o);
#end
#end
#end
}
