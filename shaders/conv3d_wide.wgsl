// 3x3x3 or 1x1x1 convolution of one source whose rows along Z are whole blocks of four voxels, without workgroup memory:
// everything is loaded and stored four values at a time, which is what costs on adapters that run one lane after the
// other. One invocation holds ROWS rows of VOX voxels along Z x 4 QUADS output channels.
//   y[n, k, p] = b[k] + sum over c, t of w[k, c, t] a[n, c, p + t - 1], a = act(norm(x)); with ADD, that is added to y
//   x_0       (N, C, X, Y, Z)
//   w         [C][tap][K padded to 4], from `first` on
//   b         (K), if BIAS
//   y         (N, K, X, Y, Z)
//   partials  (N K, tiles) of (count, mean, sum of squares about the mean): MOMENTS of y, for the norm that follows
#import index
#import weights

struct Params { x: u32, y: u32, z: u32, channels: u32, k: u32, tiles: u32, groups: u32, n: u32, first: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<vec4<f32>>;
#import term 0
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#import bias
#end
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;
#if MOMENTS
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
#end

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
    if ((tile >= params.tiles) | (n >= params.n)) {
        return;
    }
    // Positions along Z are counted in blocks of four voxels.
    let row = params.z / 4u;
    let plane = params.y * row;
    let volume = params.x * plane;
    let z_tiles = (row + VOX4 - 1u) / VOX4;
    let y_tiles = (params.y + ROWS - 1u) / ROWS;
    let z = tile % z_tiles * VOX4;
    let py = tile / z_tiles % y_tiles * ROWS;
    let px = tile / z_tiles / y_tiles;
    let k4 = (params.k + 3u) / 4u;
    // Blocks, rows and channels beyond the last repeat it; what they give is dropped.
#unroll o in 0..QUADS
    let q_$o = min(quad + $ou, k4 - 1u);
#end
#unroll j in 0..VOX4
    let z_$j = min(z + $ju, row - 1u);
#end
#if CUBE
#unroll i in 0..SPAN
    let row_$i = (clamp(py + $iu, 1u, params.y) - 1u) * row;
    let in_$i = (py + $iu >= 1u) & (py + $iu <= params.y);
#end
    let left = max(z, 1u) - 1u;
    let right = min(z + VOX4, row - 1u);
    let in_left = z > 0u;
    let in_right = z + VOX4 < row;
#end
#unroll r in 0..ROWS
#unroll o in 0..QUADS
#if ADD
#unroll i in 0..4
    let k_$r_$o_$i = (n * params.k + min(q_$o * 4u + $iu, params.k - 1u)) * volume + px * plane + min(py + $ru, params.y - 1u) * row;
#unroll j in 0..VOX4
    let before_$r_$o_$i_$j = y[k_$r_$o_$i + z_$j];
#end
#end
#unroll v in 0..VOX
    var sum_$r_$v_$o = vec4<f32>(before_$r_$o_0_$(v/4)[$(v%4)], before_$r_$o_1_$(v/4)[$(v%4)], before_$r_$o_2_$(v/4)[$(v%4)], before_$r_$o_3_$(v/4)[$(v%4)]);
#end
#else
#unroll v in 0..VOX
#if BIAS
    var sum_$r_$v_$o = bias4(q_$o);
#else
    var sum_$r_$v_$o = vec4<f32>();
#end
#end
#end
#end
#end
    for (var c = 0u; c < params.channels; c += 1u) {
        let channel = (n * params.channels + c) * volume;
        let f = factors_0(n * params.channels + c, c);
#if CUBE
        for (var t = 0u; t < 3u; t += 1u) {
            if ((px + t < 1u) | (px + t > params.x)) {
                continue;
            }
            let at = channel + (px + t - 1u) * plane;
#unroll i in 0..SPAN
            let at_$i = at + row_$i;
            let left_$i = value_0(x_0[at_$i + left].w, f);
            let right_$i = value_0(x_0[at_$i + right].x, f);
#unroll j in 0..VOX4
            var four_$i_$j = value4_0(x_0[at_$i + z_$j], f);
#end
#unroll j in 0..VOX4
            four_$i_$j = select(vec4<f32>(), four_$i_$j, in_$i & (z + $ju < row));
#end
            let a_$i_0 = select(0.0, left_$i, in_$i & in_left);
#unroll v in 0..VOX
            let a_$i_$(v+1) = four_$i_$(v/4)[$(v%4)];
#end
            let a_$i_$(VOX+1) = select(0.0, right_$i, in_$i & in_right);
#end
            let weights = params.first + (c * 27u + t * 9u) * k4;
#unroll o in 0..QUADS
            {
#unroll s in 0..3
                let w_$s_0 = weight4(weights + $su * 3u * k4 + q_$o);
                let w_$s_1 = weight4(weights + ($su * 3u + 1u) * k4 + q_$o);
                let w_$s_2 = weight4(weights + ($su * 3u + 2u) * k4 + q_$o);
#end
#unroll r in 0..ROWS
#unroll v in 0..VOX
                {
                    // Taps first, then what they give: a sum of sums loses fewer digits than one over all.
                    var part = vec4<f32>(a_$r_$v) * w_0_0;
                    part = fma(vec4<f32>(a_$r_$(v+2)), w_0_2, fma(vec4<f32>(a_$r_$(v+1)), w_0_1, part));
#unroll s in 0..2
                    part = fma(vec4<f32>(a_$(r+s+1)_$(v+2)), w_$(s+1)_2, fma(vec4<f32>(a_$(r+s+1)_$(v+1)), w_$(s+1)_1, fma(vec4<f32>(a_$(r+s+1)_$v), w_$(s+1)_0, part)));
#end
                    sum_$r_$v_$o += part;
                }
#end
#end
            }
#end
        }
#else
#unroll o in 0..QUADS
        let w_$o = weight4(params.first + c * k4 + q_$o);
#end
#unroll r in 0..ROWS
        let at_$r = channel + px * plane + min(py + $ru, params.y - 1u) * row;
#unroll j in 0..VOX4
        let a_$r_$j = value4_0(x_0[at_$r + z_$j], f);
#end
#unroll o in 0..QUADS
#unroll v in 0..VOX
        sum_$r_$v_$o = fma(vec4<f32>(a_$r_$(v/4)[$(v%4)]), w_$o, sum_$r_$v_$o);
#end
#end
#end
#end
    }
#if MOMENTS
#unroll r in 0..ROWS
#unroll j in 0..VOX4
    let inside_$r_$j = (py + $ru < params.y) & (z + $ju < row);
#end
#end
    let count = f32(min(ROWS, params.y - py) * min(VOX4, row - z) * 4u);
#end
#unroll o in 0..QUADS
#unroll i in 0..4
    {
        let k = (quad + $ou) * 4u + $iu;
        if (k < params.k) {
            let channel = n * params.k + k;
            let to = channel * volume + px * plane + z;
#unroll r in 0..ROWS
#unroll j in 0..VOX4
            if ((py + $ru < params.y) & (z + $ju < row)) {
                y[to + (py + $ru) * row + $ju] = vec4<f32>(sum_$r_$(j*4)_$o[$i], sum_$r_$(j*4+1)_$o[$i], sum_$r_$(j*4+2)_$o[$i], sum_$r_$(j*4+3)_$o[$i]);
            }
#end
#end
#if MOMENTS
            var total = 0.0;
#unroll r in 0..ROWS
#unroll v in 0..VOX
            total += select(0.0, sum_$r_$v_$o[$i], inside_$r_$(v/4));
#end
#end
            let mean = total / count;
            var squares = 0.0;
#unroll r in 0..ROWS
#unroll v in 0..VOX
            {
                let d = select(0.0, sum_$r_$v_$o[$i] - mean, inside_$r_$(v/4));
                squares = fma(d, d, squares);
            }
#end
#end
            partials[channel * params.tiles + tile] = vec4<f32>(count, mean, squares, 0.0);
#end
        }
    }
#end
#end
}
