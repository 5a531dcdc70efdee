// 3x3x3 or 1x1x1 convolution (each source its own), stride 1, zero padding; without workgroup memory: one invocation holds
// VOX voxels along Z x 4 QUADS output channels.
//   y[n, k, p] = b[k] + sum over sources, c, t of w[k, c, t] a[n, c, p + t - 1], a = act(norm(x))
//   x_s     (N, C_s, X, Y, Z)   sources, their channels one after the other: the concatenation is never stored
//   w       [C][tap][K padded to 4], taps of the channel's source, from `first` on
//   b       (K), if BIAS
//   y       (N, K, X, Y, Z); with ADD, the sums are added to it
#import index
#import weights

struct Params { x: u32, y: u32, z: u32, channels_0: u32, channels_1: u32, k: u32, tiles: u32, groups: u32, n: u32, first: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#unroll s in 0..SOURCES
@group(0) @binding(#) var<storage, read> x_$s: array<f32>;
#import term $s
#import row $s
#end
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#import bias
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Tiles of a group are neighbours in space and share their output channels.
    let group = flat_group(wid, counts);
    let blocks = (params.k + 4u * QUADS - 1u) / (4u * QUADS);
    let block = group / params.groups % blocks;
    let n = group / params.groups / blocks;
    let tile = group % params.groups * 64u + lane;
    if ((tile >= params.tiles) | (n >= params.n)) {
        return;
    }
    let z_tiles = (params.z + VOX - 1u) / VOX;
    let z = tile % z_tiles * VOX;
    let py = tile / z_tiles % params.y;
    let px = tile / z_tiles / params.y;
    let plane = params.y * params.z;
    let voxels = params.x * plane;
    let k4 = (params.k + 3u) / 4u;
    let quad = block * QUADS;
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
#unroll s in 0..SOURCES
    for (var c = 0u; c < params.channels_$s; c += 1u) {
        let channel = (n * params.channels_$s + c) * voxels;
#if SECOND_$s
        let weights = params.first + (params.channels_0 * TAPS_0 + c * TAPS_1) * k4;
#else
        let weights = params.first + c * TAPS_0 * k4;
#end
        let f = factors_$s(n * params.channels_$s + c, c);
#if CUBE_$s
        for (var t = 0u; t < 9u; t += 1u) {
            let qx = i32(px + t / 3u) - 1;
            let qy = i32(py + t % 3u) - 1;
            if ((qx < 0) | (qx >= i32(params.x)) | (qy < 0) | (qy >= i32(params.y))) {
                continue;
            }
            let row = channel + u32(qx) * plane + u32(qy) * params.z;
#unroll i in 0..SPAN
            let a_$i = load_$s(row, params.z, i32(z) + $i - 1, f);
#end
#unroll o in 0..QUADS
            {
                let at = weights + t * 3u * k4 + q_$o;
                let w0 = weight4(at);
                let w1 = weight4(at + k4);
                let w2 = weight4(at + 2u * k4);
#unroll v in 0..VOX
                sum_$v_$o = fma(vec4<f32>(a_$(v+2)), w2, fma(vec4<f32>(a_$(v+1)), w1, fma(vec4<f32>(a_$v), w0, sum_$v_$o)));
#end
            }
#end
        }
#else
        let row = channel + px * plane + py * params.z;
#unroll v in 0..VOX
        let a_$v = load_$s(row, params.z, i32(z) + $v, f);
#end
#unroll o in 0..QUADS
        {
            let w0 = weight4(weights + q_$o);
#unroll v in 0..VOX
            sum_$v_$o = fma(vec4<f32>(a_$v), w0, sum_$v_$o);
#end
        }
#end
#end
    }
#end
    let at = px * plane + py * params.z + z;
#unroll o in 0..QUADS
#unroll j in 0..4
    {
        let k = (quad + $ou) * 4u + $ju;
        if (k < params.k) {
            let out = (n * params.k + k) * voxels + at;
#unroll v in 0..VOX
            if (z + $vu < params.z) {
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
