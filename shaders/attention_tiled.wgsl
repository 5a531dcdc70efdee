// Multi-head self-attention with a running softmax, with workgroup memory: no token x token matrix is stored.
//   o = softmax(q k^T / sqrt(d)) v, per head; row t of qkv is [q | k | v], each (heads, d), d a multiple of four
//   qkv  (N, T, 3 heads d)
//   o    (N, T, heads d)
//   lse  (N, heads, T): max + log of the sum, what the backward pass recomputes the weights from
// A group of 64 has 8 ROWS query rows and takes the keys in tiles of 8 KEYS: an invocation makes ROWS x KEYS scores, then
// ROWS x PIECES vec4 of the output. D4 = d / 4; PIECES = D4 / 8 rounded up. DROPOUT drops some of the normalised weights,
// numbered as (N, heads, query, key), in step  (1): they are kept negative, for the softmax's sum alone.
#import index
#if DROPOUT
#import mask
#end

struct Params { samples: u32, tokens: u32, heads: u32, d: u32, scale: f32, rate: f32, seed: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> qkv: array<vec4<f32>>;
#if DROPOUT
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> lse: array<f32>;

const QUERY_TILE = 8u * ROWS;
const KEY_TILE = 8u * KEYS;
// Rows that neighbouring lanes read or write at once meet no bank of workgroup memory twice.
const STRIDE = D4 + 1u - D4 % 2u;
const WEIGHT_STRIDE = 9u * KEYS;

var<workgroup> sh_q: array<vec4<f32>, QUERY_TILE * STRIDE>;
// A tile of keys, then of values.
var<workgroup> sh_kv: array<vec4<f32>, KEY_TILE * STRIDE>;
// The largest score of each lane and row, and the weights of a tile.
var<workgroup> sh_most: array<f32, QUERY_TILE * 8u>;
var<workgroup> sh_weights: array<f32, QUERY_TILE * WEIGHT_STRIDE>;

// Brings the tile of keys or values from token `first` on; tokens beyond the last repeat it.
fn stage(lane: u32, base: u32, first: u32) {
    // Several loads at once.
    for (var i = lane; i < KEY_TILE * D4; i += 256u) {
#unroll u in 0..4
        let at_$u = min(i + $uu * 64u, KEY_TILE * D4 - 1u);
        let token_$u = min(first + at_$u / D4, params.tokens - 1u);
        let v_$u = qkv[base + token_$u * 3u * params.heads * D4 + at_$u % D4];
#end
#unroll u in 0..4
        if (i + $uu * 64u < KEY_TILE * D4) {
            sh_kv[at_$u / D4 * STRIDE + at_$u % D4] = v_$u;
        }
#end
    }
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.tokens + QUERY_TILE - 1u) / QUERY_TILE;
    let group = flat_group(wid, counts);
    let first = group % blocks * QUERY_TILE;
    let head = group / blocks % params.heads;
    let n = group / blocks / params.heads;
    if (n >= params.samples) {
        return;
    }
    let width = params.heads * D4;
    let base = n * params.tokens * 3u * width + head * D4;
    let row = lane / 8u * ROWS;
    let column = lane % 8u;
    for (var i = lane; i < QUERY_TILE * D4; i += 64u) {
        // Rows beyond the end repeat the last and are not stored.
        let token = min(first + i / D4, params.tokens - 1u);
        sh_q[i / D4 * STRIDE + i % D4] = qkv[base + token * 3u * width + i % D4] * params.scale;
    }
#unroll r in 0..ROWS
    var most_$r = -1e30;
    var sum_$r = 0.0;
#unroll p in 0..PIECES
    var o_$r_$p = vec4<f32>();
#end
#end
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
    let weights = ((n * params.heads + head) * params.tokens + first + row) * params.tokens + column;
#end
    for (var key = 0u; key < params.tokens; key += KEY_TILE) {
        workgroupBarrier();
        stage(lane, base + width, key);
        workgroupBarrier();
#unroll r in 0..ROWS
#unroll k in 0..KEYS
        var s_$r_$k = 0.0;
#end
#end
#unroll i in 0..D4
        {
#unroll k in 0..KEYS
            let k_$k = sh_kv[(column + $ku * 8u) * STRIDE + $iu];
#end
#unroll r in 0..ROWS
            let q_$r = sh_q[(row + $ru) * STRIDE + $iu];
#unroll k in 0..KEYS
            s_$r_$k += dot(q_$r, k_$k);
#end
#end
        }
#end
#unroll r in 0..ROWS
        var top_$r = most_$r;
#unroll k in 0..KEYS
        s_$r_$k = select(-1e30, s_$r_$k, key + column + $ku * 8u < params.tokens);
        top_$r = max(top_$r, s_$r_$k);
#end
        sh_most[(row + $ru) * 8u + column] = top_$r;
#end
        workgroupBarrier();
#unroll r in 0..ROWS
#unroll i in 0..8
        top_$r = max(top_$r, sh_most[(row + $ru) * 8u + $iu]);
#end
        let decay_$r = exp(most_$r - top_$r);
        sum_$r *= decay_$r;
        most_$r = top_$r;
#unroll p in 0..PIECES
        o_$r_$p *= decay_$r;
#end
#unroll k in 0..KEYS
#if DROPOUT
        let p_$r_$k = exp(s_$r_$k - top_$r);
        let keep_$r_$k = kept(weights + $ru * params.tokens + key + $ku * 8u, mask, params.rate);
        sh_weights[(row + $ru) * WEIGHT_STRIDE + column + $ku * 8u] = select(-p_$r_$k, p_$r_$k, keep_$r_$k);
#else
        sh_weights[(row + $ru) * WEIGHT_STRIDE + column + $ku * 8u] = exp(s_$r_$k - top_$r);
#end
#end
#end
        stage(lane, base + 2u * width, key);
        workgroupBarrier();
        for (var i = 0u; i < KEY_TILE; i += 4u) {
#unroll j in 0..4
            {
#unroll p in 0..PIECES
                let v_$p = sh_kv[(i + $ju) * STRIDE + min(column + $pu * 8u, D4 - 1u)];
#end
#unroll r in 0..ROWS
#if DROPOUT
                let p_$r = sh_weights[(row + $ru) * WEIGHT_STRIDE + i + $ju];
                sum_$r += abs(p_$r);
                let w_$r = max(p_$r, 0.0);
#else
                let w_$r = sh_weights[(row + $ru) * WEIGHT_STRIDE + i + $ju];
                sum_$r += w_$r;
#end
#unroll p in 0..PIECES
                o_$r_$p = fma(vec4<f32>(w_$r), v_$p, o_$r_$p);
#end
#end
            }
#end
        }
    }
#unroll r in 0..ROWS
    {
        let token = first + row + $ru;
        if (token < params.tokens) {
#if DROPOUT
            let total_$r = sum_$r * (1.0 - params.rate);
#else
            let total_$r = sum_$r;
#end
#unroll p in 0..PIECES
            if (column + $pu * 8u < D4) {
                o[(n * params.tokens + token) * width + head * D4 + column + $pu * 8u] = o_$r_$p / total_$r;
            }
#end
            if (column == 0u) {
                lse[(n * params.heads + head) * params.tokens + token] = most_$r + log(sum_$r);
            }
        }
    }
#end
}
