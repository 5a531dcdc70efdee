// Convolution of one source with any kernel, stride, padding and dilation, or (SCATTER) its transposed product; without workgroup
// memory: one invocation holds VOX voxels along Z, for SCATTER a multiple of the stride, x 4 QUADS output channels.
//   y[n, k, p] = b[k] + sum over c, t of w[k, c, t] a[n, c, p stride + t dilation - padding], a = act(norm(x))
//   y[n, k, p stride + t dilation - padding] = b[k] + sum over c, t, p of w[c, k, t] a[n, c, p], where SCATTER
// over the channels from `begin` to before `end`; with ADD, that is added to y.
//   x_0  (N, C, X, Y, Z)
//   w    [C][tap; last first where SCATTER][K padded to 4], from channel `first` on
//   b    (K), if BIAS
//   y    (N, K, OX, OY, OZ)
// Where SCATTER, output voxel v of a block meets, by the tap s counted from the last, input voxel
// (v + s DILATION + OFFSET) / STRIDE - BEFORE of the block's first where that is whole.
#import index
#import weights
#import extents

struct Params { g: Extents, k: u32, n: u32, first: u32, begin: u32, end: u32, tiles: u32, groups: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import term 0
#import row 0
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
    let quad = group / params.groups % blocks * QUADS;
    let n = group / params.groups / blocks;
    let tile = group % params.groups * 64u + lane;
    if ((tile >= params.tiles) | (n >= params.n)) {
        return;
    }
    let g = params.g;
    let z_tiles = (g.out_z + VOX - 1u) / VOX;
    let z = tile % z_tiles * VOX;
    let py = tile / z_tiles % g.out_y;
    let px = tile / z_tiles / g.out_y;
    let plane = g.y * g.z;
    let voxels = g.x * plane;
    let k4 = (params.k + 3u) / 4u;
    let areas = g.kernel_x * g.kernel_y;
#if SCATTER
    let left = i32(z / STRIDE) - i32(BEFORE);
#else
    let left = i32(z * STRIDE) - i32(g.padding_z);
#end
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
    for (var c = params.begin; c < params.end; c += 1u) {
        let channel = (n * g.channels + c) * voxels;
        let weights = (params.first + c) * areas * KERNEL * k4;
        let f = factors_0(n * g.channels + c, c);
        // A sum for each channel: a sum of sums loses fewer digits than one over all.
#unroll o in 0..QUADS
#unroll v in 0..VOX
        var part_$v_$o = vec4<f32>();
#end
#end
        for (var t = 0u; t < areas; t += 1u) {
            // Below 0 wraps around and is beyond the end too.
#if SCATTER
            let sx = px + g.padding_x + (t / g.kernel_y + 1u - g.kernel_x) * g.dilation_x;
            let sy = py + g.padding_y + (t % g.kernel_y + 1u - g.kernel_y) * g.dilation_y;
            let qx = sx / g.stride_x;
            let qy = sy / g.stride_y;
            let between = (qx * g.stride_x != sx) | (qy * g.stride_y != sy);
#else
            let qx = px * g.stride_x + t / g.kernel_y * g.dilation_x - g.padding_x;
            let qy = py * g.stride_y + t % g.kernel_y * g.dilation_y - g.padding_y;
            let between = false;
#end
            if ((qx >= g.x) | (qy >= g.y) | between) {
                continue;
            }
            let row = channel + qx * plane + qy * g.z;
#if DILATED
#if SCATTER
#unroll i in 0..SPAN
            let a_$i = load_0(row, g.z, left + $i, f);
#end
#else
            // Taps of one voxel are seldom another's.
#unroll v in 0..VOX
#unroll s in 0..KERNEL
            let a_$v_$s = load_0(row, g.z, left + $(v*STRIDE) + $(s*DILATION), f);
#end
#end
#end
#else
#unroll i in 0..SPAN
            let a_$i = load_0(row, g.z, left + $i, f);
#end
#end
#unroll o in 0..QUADS
#unroll s in 0..KERNEL
            {
                let tap = weight4(weights + (t * KERNEL + $su) * k4 + q_$o);
#unroll v in 0..VOX
#if SCATTER
#if !$(s*DILATION+v+OFFSET%STRIDE)
                part_$v_$o = fma(vec4<f32>(a_$(s*DILATION+v+OFFSET/STRIDE)), tap, part_$v_$o);
#end
#else
#if DILATED
                part_$v_$o = fma(vec4<f32>(a_$v_$s), tap, part_$v_$o);
#else
                part_$v_$o = fma(vec4<f32>(a_$(v*STRIDE+s)), tap, part_$v_$o);
#end
#end
#end
            }
#end
#end
        }
#unroll o in 0..QUADS
#unroll v in 0..VOX
        sum_$v_$o += part_$v_$o;
#end
#end
    }
    let out_plane = g.out_y * g.out_z;
    let at = px * out_plane + py * g.out_z + z;
#unroll o in 0..QUADS
#unroll j in 0..4
    {
        let k = (quad + $ou) * 4u + $ju;
        if (k < params.k) {
            let out = (n * params.k + k) * g.out_x * out_plane + at;
#unroll v in 0..VOX
            if (z + $vu < g.out_z) {
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
