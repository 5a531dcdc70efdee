// First stage of a convolution's weight gradient, for one source: each part takes every parts-th row of voxels along Z.
//   dw[c, t, k] = sum over n, p of a[n, c, p + t - 1] dy[n, k, p]; a = act(norm(x))
//   x_0       (N, C, X, Y, Z)
//   dy        (N, K, X, Y, Z)
//   partials  (parts, total) of vec4: [first + c][tap][K padded to 4]
// One invocation takes STEP voxels at a time and holds CHANNELS input channels x 4 QUADS output channels x three taps along Z (one if not CUBE).
#import index
#import weight_partials

struct Params { x: u32, y: u32, z: u32, channels: u32, k: u32, n: u32, parts: u32, first: u32, total: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import term 0
@group(0) @binding(#) var<storage, read> dy: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;

fn load(at: u32, f: vec3<f32>) -> f32 {
    return value_0(x_0[at], f);
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
        if ((qx < 1u) | (qx > params.x) | (qy < 1u) | (qy > params.y)) {
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
        let from_$i = (n * params.channels + c_$i) * voxels + source;
        let f_$i = factors_0(n * params.channels + c_$i, c_$i);
#if CUBE
        var before_$i = 0.0;
        var here_$i = load(from_$i, f_$i);
#end
#end
        for (var z = 0u; z < params.z; z += STEP) {
            // Beyond the end of a row the gradient counts as zero, and so does the source.
            let z_0 = z;
            let in_0 = true;
#unroll j in 0..STEP
            let z_$(j+1) = min(z + $ju + 1u, params.z - 1u);
            let in_$(j+1) = z + $ju + 1u < params.z;
#unroll o in 0..QUADS
            let v_$o_$j = select(vec4<f32>(), vec4<f32>(dy[d_$o_0 + z_$j], dy[d_$o_1 + z_$j], dy[d_$o_2 + z_$j], dy[d_$o_3 + z_$j]), in_$j);
#end
#end
#unroll i in 0..CHANNELS
#unroll j in 0..STEP
            {
#if CUBE
                let after_here = select(0.0, load(from_$i + z_$(j+1), f_$i), in_$(j+1));
#unroll o in 0..QUADS
                low_$i_$o = fma(vec4<f32>(before_$i), v_$o_$j, low_$i_$o);
                sum_$i_$o = fma(vec4<f32>(here_$i), v_$o_$j, sum_$i_$o);
                high_$i_$o = fma(vec4<f32>(after_here), v_$o_$j, high_$i_$o);
#end
                before_$i = here_$i;
                here_$i = after_here;
#else
                let here = load(from_$i + z_$j, f_$i);
#unroll o in 0..QUADS
                sum_$i_$o = fma(vec4<f32>(here), v_$o_$j, sum_$i_$o);
#end
#end
            }
#end
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
