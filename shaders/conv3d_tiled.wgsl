// 3x3x3 convolution, stride 1, zero padding, with the 1x1x1 convolution of a shortcut beside it and the moments of both;
// with workgroup memory.
//   y[n, k, p] = b[k] + sum over sources, c, t of w[k, c, t] a[n, c, p + t - 1], a = act(norm(x))
//   r[n, k, p] = sum of w_r[k, c] a[n, c, p]
//   x_s      (N, C_s, X, Y, Z)   sources, their channels one after the other: the concatenation is never stored
//   w        [C][tap][K padded to 4]        w_r  [C][K padded to 4]        b  (K), if BIAS
//   y, r     (N, K, X, Y, Z)
//   parts_s  (N, K, tiles) of (count, mean, sum of squares about the mean) of y and of r, if MOMENTS
// A group of 64 has 4 x 4 x EXTENT voxels of 4 QUADS 16/EXTENT output channels; an invocation has 4 voxels along Y of
// 4 QUADS of them. Neighbouring lanes are neighbours along Z: loads, stores and workgroup memory see unbroken rows.
#import index
#import weights

struct Params { x: u32, y: u32, z: u32, n: u32, channels_0: u32, channels_1: u32, k: u32, blocks: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#unroll s in 0..SOURCES
@group(0) @binding(#) var<storage, read> x_$s: array<f32>;
#import term $s
#end
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#import bias
#end
@group(0) @binding(#) var<storage, read_write> y_0: array<f32>;
#if MOMENTS
@group(0) @binding(#) var<storage, read_write> parts_0: array<vec4<f32>>;
#end
#if SHORTCUT
@group(0) @binding(#) var<storage, read> w_r: array<Weight>;
@group(0) @binding(#) var<storage, read_write> y_1: array<f32>;
#if MOMENTS
@group(0) @binding(#) var<storage, read_write> parts_1: array<vec4<f32>>;
#end
#end

// The tile with a margin of 1: rows along Z, planes padded so that the lanes of a read meet no bank twice.
const ROW = EXTENT + 2u;
const AREA = 6u * PLANE;
// Lanes that share output channels, and channels of a group in blocks of four.
const LANES = 4u * EXTENT;
const GROUP_QUADS = QUADS * 64u / LANES;
const WEIGHTS = DEPTH * 27u * GROUP_QUADS;
const OUTSIDE = 0xffffffffu;

var<workgroup> sh_x: array<f32, DEPTH * AREA>;
// Also what the moments are summed up in.
var<workgroup> sh_w: array<vec4<f32>, max(WEIGHTS, 32u * QUADS)>;
#if SHORTCUT
var<workgroup> sh_r: array<vec4<f32>, DEPTH * GROUP_QUADS>;
#end

// Where the margin's element `i` lies in a channel.
fn place(i: u32, tile: vec3<u32>) -> u32 {
    let at = vec3<u32>(i / PLANE, i % PLANE / ROW, i % PLANE % ROW);
    // Below 0 wraps around and is beyond the end too.
    let p = tile + at - 1u;
    if ((i >= AREA) | (at.y >= 6u) | (p.x >= params.x) | (p.y >= params.y) | (p.z >= params.z)) {
        return OUTSIDE;
    }
    return (p.x * params.y + p.y) * params.z + p.z;
}

#if MOMENTS
// The sum over the lanes that share output channels, in a fixed tree, for each of them.
fn total(lane: u32, values: array<vec4<f32>, QUADS>) -> array<vec4<f32>, QUADS> {
    let first = lane / LANES * (LANES / 2u);
    let own = lane % LANES;
    var sum = values;
    for (var reach = LANES / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if ((own >= reach) & (own < 2u * reach)) {
#unroll o in 0..QUADS
            sh_w[$ou * 32u + first + own - reach] = sum[$o];
#end
        }
        workgroupBarrier();
        if (own < reach) {
#unroll o in 0..QUADS
            sum[$o] += sh_w[$ou * 32u + first + own];
#end
        }
    }
    workgroupBarrier();
    if (own == 0u) {
#unroll o in 0..QUADS
        sh_w[lane / LANES * QUADS + $ou] = sum[$o];
#end
    }
    workgroupBarrier();
#unroll o in 0..QUADS
    sum[$o] = sh_w[lane / LANES * QUADS + $ou];
#end
    return sum;
}
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (vec3<u32>(params.x, params.y, params.z) + vec3<u32>(3u, 3u, EXTENT - 1u)) / vec3<u32>(4u, 4u, EXTENT);
    let tile_count = tiles.x * tiles.y * tiles.z;
    // Groups that run together share the voxels they read.
    let group = flat_group(wid, counts);
    let block = group % params.blocks;
    let tile_index = group / params.blocks % tile_count;
    let n = group / params.blocks / tile_count;
    if (n >= params.n) {
        return;
    }
    let tile = vec3<u32>(tile_index / tiles.z / tiles.y, tile_index / tiles.z % tiles.y, tile_index % tiles.z)
        * vec3<u32>(4u, 4u, EXTENT);
    let voxels = params.x * params.y * params.z;
    let k4 = (params.k + 3u) / 4u;
    let channels = params.channels_0 + params.channels_1;
    // One number instead of two: X and Z of the lane in a plane of the tile.
    let corner = lane / EXTENT % 4u * PLANE + lane % EXTENT;
    let lane_quad = lane / LANES * QUADS;
    // Loads outside the volume go to its last voxel and are replaced by zeros: without branches they run at once.
#unroll i in 0..LOADS
    let at_$i = place(lane + $iu * 64u, tile);
#end
#unroll v in 0..4
#unroll o in 0..QUADS
    var sum_0_$v_$o = vec4<f32>();
#if SHORTCUT
    var sum_1_$v_$o = vec4<f32>();
#end
#end
#end
    for (var first = 0u; first < channels; first += DEPTH) {
        workgroupBarrier();
        for (var j = 0u; j < DEPTH; j += 1u) {
            let channel = first + j;
#unroll i in 0..LOADS
            var a_$i = 0.0;
#end
            if (channel < params.channels_0) {
                let base = (n * params.channels_0 + channel) * voxels;
                let f = factors_0(n * params.channels_0 + channel, channel);
#unroll i in 0..LOADS
                a_$i = x_0[base + min(at_$i, voxels - 1u)];
#end
#unroll i in 0..LOADS
                a_$i = value_0(a_$i, f);
#end
            }
#if SECOND
            else if (channel < channels) {
                let base = (n * params.channels_1 + channel - params.channels_0) * voxels;
                let own = channel - params.channels_0;
                let f = factors_1(n * params.channels_1 + own, own);
#unroll i in 0..LOADS
                a_$i = x_1[base + min(at_$i, voxels - 1u)];
#end
#unroll i in 0..LOADS
                a_$i = value_1(a_$i, f);
#end
            }
#end
#unroll i in 0..LOADS
            if (lane + $iu * 64u < AREA) {
                sh_x[j * AREA + lane + $iu * 64u] = select(a_$i, 0.0, at_$i == OUTSIDE);
            }
#end
        }
        // Channels and output channels beyond the last repeat it: the former meet zeros, the latter are not stored.
        for (var i = lane; i < WEIGHTS; i += STAGED * 64u) {
#unroll u in 0..STAGED
            let row_$u = min(first * 27u + (i + $uu * 64u) / GROUP_QUADS, channels * 27u - 1u);
            let w_$u = weight4(row_$u * k4 + min(block * GROUP_QUADS + (i + $uu * 64u) % GROUP_QUADS, k4 - 1u));
#end
#unroll u in 0..STAGED
            if (i + $uu * 64u < WEIGHTS) {
                sh_w[i + $uu * 64u] = w_$u;
            }
#end
        }
#if SHORTCUT
        for (var i = lane; i < DEPTH * GROUP_QUADS; i += 64u) {
            let row = min(first + i / GROUP_QUADS, channels - 1u);
            sh_r[i] = four(w_r[row * k4 + min(block * GROUP_QUADS + i % GROUP_QUADS, k4 - 1u)]);
        }
#end
        workgroupBarrier();
        for (var j = 0u; j < DEPTH; j += 1u) {
            for (var dx = 0u; dx < 3u; dx += 1u) {
                let row = j * AREA + dx * PLANE + corner;
                let tap = (j * 27u + dx * 9u) * GROUP_QUADS + lane_quad;
#unroll t in 0..3
                {
#unroll i in 0..6
                    let a_$i = vec4<f32>(sh_x[row + $iu * ROW + $tu]);
#end
#unroll o in 0..QUADS
                    {
                        let w0 = sh_w[tap + $tu * GROUP_QUADS + $ou];
                        let w1 = sh_w[tap + (3u + $tu) * GROUP_QUADS + $ou];
                        let w2 = sh_w[tap + (6u + $tu) * GROUP_QUADS + $ou];
                        sum_0_0_$o = fma(a_2, w2, fma(a_1, w1, fma(a_0, w0, sum_0_0_$o)));
                        sum_0_1_$o = fma(a_3, w2, fma(a_2, w1, fma(a_1, w0, sum_0_1_$o)));
                        sum_0_2_$o = fma(a_4, w2, fma(a_3, w1, fma(a_2, w0, sum_0_2_$o)));
                        sum_0_3_$o = fma(a_5, w2, fma(a_4, w1, fma(a_3, w0, sum_0_3_$o)));
                    }
#end
                }
#end
            }
#if SHORTCUT
            let centre = j * AREA + PLANE + ROW + 1u + corner;
#unroll v in 0..4
            let c_$v = vec4<f32>(sh_x[centre + $vu * ROW]);
#end
#unroll o in 0..QUADS
            {
                let w0 = sh_r[j * GROUP_QUADS + lane_quad + $ou];
#unroll v in 0..4
                sum_1_$v_$o = fma(c_$v, w0, sum_1_$v_$o);
#end
            }
#end
#end
        }
    }
#if BIAS
#unroll o in 0..QUADS
    {
        let bias = bias4(block * GROUP_QUADS + lane_quad + $ou);
#unroll v in 0..4
        sum_0_$v_$o += bias;
#end
    }
#end
#end
    let p = tile + vec3<u32>(corner / PLANE, 0u, corner % PLANE);
    let at = (p.x * params.y + p.y) * params.z + p.z;
    let inside = (p.x < params.x) & (p.z < params.z);
#unroll v in 0..4
    let inside_$v = inside & (p.y + $vu < params.y);
#end
#if MOMENTS
    let sides = min(vec3<u32>(params.x, params.y, params.z) - tile, vec3<u32>(4u, 4u, EXTENT));
    let count = f32(sides.x * sides.y * sides.z);
#end
    let quad = block * GROUP_QUADS + lane_quad;
#unroll b in 0..BRANCHES
    {
#if MOMENTS
        var part: array<vec4<f32>, QUADS>;
#unroll o in 0..QUADS
        part[$o] = vec4<f32>();
#unroll v in 0..4
        part[$o] += select(vec4<f32>(), sum_$b_$v_$o, inside_$v);
#end
#end
        var mean = total(lane, part);
#unroll o in 0..QUADS
        mean[$o] /= count;
        part[$o] = vec4<f32>();
#unroll v in 0..4
        {
            let d = select(vec4<f32>(), sum_$b_$v_$o - mean[$o], inside_$v);
            part[$o] = fma(d, d, part[$o]);
        }
#end
#end
        let squares = total(lane, part);
#end
        // One place that moves on takes fewer registers than a place for each store.
        var to = (n * params.k + quad * 4u) * voxels + at;
#unroll o in 0..QUADS
#unroll j in 0..4
        {
            let k = (quad + $ou) * 4u + $ju;
            if (k < params.k) {
#unroll v in 0..4
                if (inside_$v) {
                    y_$b[to + $vu * params.z] = sum_$b_$v_$o[$j];
                }
#end
#if MOMENTS
                if (lane % LANES == 0u) {
                    parts_$b[(n * params.k + k) * tile_count + tile_index] = vec4<f32>(count, mean[$o][$j], squares[$o][$j], 0.0);
                }
#end
            }
            to += voxels;
        }
#end
#end
    }
#end
}
