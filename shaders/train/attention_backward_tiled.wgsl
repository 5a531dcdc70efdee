// Gradients of attention, as STAGE 1 and 2 of attention_backward, with workgroup memory: dq of queries, or with KEYS dk and dv
// of keys, whose d is a multiple of four. A group of 64 has 8 ROWS tokens of its own and takes the others (keys, or queries)
// in tiles of 8 OTHERS: an invocation makes ROWS x OTHERS of ds and p, then ROWS x PIECES vec4 of each result, so that few
// registers do. D4 = d / 4; PIECES = D4 / 8 rounded up.
//   ds = p (m do v^T - delta);  dq = ds k / sqrt(d);  dk = ds^T q / sqrt(d);  dv = (m p)^T do;  m is 1, or dropout's factor
//   qkv, dqkv  (N, T, 3 heads d)      dout  (N, T, heads d)      lse, delta  (N, heads, T)
#import index
#if DROPOUT
#import mask
#end

struct Params { samples: u32, tokens: u32, heads: u32, d: u32, scale: f32, rate: f32, seed: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read> lse: array<f32>;
@group(0) @binding(#) var<storage, read> dout: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read> delta: array<f32>;
#if DROPOUT
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> dqkv: array<vec4<f32>>;

const OWN_TILE = 8u * ROWS;
const OTHER_TILE = 8u * OTHERS;
// Rows that neighbouring lanes read at once meet no bank of workgroup memory twice.
const STRIDE = D4 + 1u - D4 % 2u;
const SCORE_STRIDE = OTHER_TILE + 1u;

// Queries and gradients of outputs, or keys and values.
var<workgroup> own_a: array<vec4<f32>, OWN_TILE * STRIDE>;
var<workgroup> own_b: array<vec4<f32>, OWN_TILE * STRIDE>;
// The opposite.
var<workgroup> other_a: array<vec4<f32>, OTHER_TILE * STRIDE>;
var<workgroup> other_b: array<vec4<f32>, OTHER_TILE * STRIDE>;
var<workgroup> sh_ds: array<f32, OWN_TILE * SCORE_STRIDE>;
#if KEYS
var<workgroup> sh_p: array<f32, OWN_TILE * SCORE_STRIDE>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.tokens + OWN_TILE - 1u) / OWN_TILE;
    let group = flat_group(wid, counts);
    let first = group % blocks * OWN_TILE;
    let head = group / blocks % params.heads;
    let n = group / blocks / params.heads;
    if (n >= params.samples) {
        return;
    }
    let last = params.tokens - 1u;
    let width = params.heads * D4;
    let base = n * params.tokens * 3u * width + head * D4;
    let out = n * params.tokens * width + head * D4;
    let heads_at = (n * params.heads + head) * params.tokens;
    let row = lane / 8u * ROWS;
    let column = lane % 8u;
    for (var i = lane; i < OWN_TILE * D4; i += 64u) {
        // Rows beyond the end repeat the last and are not stored.
        let token = min(first + i / D4, last);
        let at = i / D4 * STRIDE + i % D4;
        let from_qkv = base + token * 3u * width + i % D4;
#if KEYS
        own_a[at] = qkv[from_qkv + width] * params.scale;
        own_b[at] = qkv[from_qkv + 2u * width];
#else
        own_a[at] = qkv[from_qkv] * params.scale;
        own_b[at] = dout[out + token * width + i % D4];
#end
    }
#unroll r in 0..ROWS
#unroll p in 0..PIECES
    var a_$r_$p = vec4<f32>();
#if KEYS
    var b_$r_$p = vec4<f32>();
#end
#end
#end
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
    let factor = 1.0 / (1.0 - params.rate);
#end
    for (var begin = 0u; begin < params.tokens; begin += OTHER_TILE) {
        workgroupBarrier();
        for (var i = lane; i < OTHER_TILE * D4; i += 64u) {
            let token = min(begin + i / D4, last);
            let at = i / D4 * STRIDE + i % D4;
            let from_qkv = base + token * 3u * width + i % D4;
#if KEYS
            other_a[at] = qkv[from_qkv];
            other_b[at] = dout[out + token * width + i % D4];
#else
            other_a[at] = qkv[from_qkv + width];
            other_b[at] = qkv[from_qkv + 2u * width];
#end
        }
        workgroupBarrier();
#unroll r in 0..ROWS
#unroll k in 0..OTHERS
        var s_$r_$k = 0.0;
        var dp_$r_$k = 0.0;
#end
#end
        for (var i = 0u; i < D4; i += 1u) {
#unroll k in 0..OTHERS
            let x_$k = other_a[(column + $ku * 8u) * STRIDE + i];
            let y_$k = other_b[(column + $ku * 8u) * STRIDE + i];
#end
#unroll r in 0..ROWS
            let u_$r = own_a[(row + $ru) * STRIDE + i];
            let w_$r = own_b[(row + $ru) * STRIDE + i];
#unroll k in 0..OTHERS
            s_$r_$k += dot(u_$r, x_$k);
            dp_$r_$k += dot(w_$r, y_$k);
#end
#end
        }
#unroll r in 0..ROWS
#unroll k in 0..OTHERS
        {
            let own = min(first + row + $ru, last);
            let other = min(begin + column + $ku * 8u, last);
#if KEYS
            let query = other;
            let key = own;
#else
            let query = own;
            let key = other;
#end
#if DROPOUT
            let m = select(0.0, factor, kept((heads_at + query) * params.tokens + key, mask, params.rate));
#else
            let m = 1.0;
#end
            // Tokens beyond the end add nothing.
            let p = select(0.0, exp(s_$r_$k - lse[heads_at + query]), begin + column + $ku * 8u <= last);
            let at = (row + $ru) * SCORE_STRIDE + column + $ku * 8u;
            sh_ds[at] = p * fma(m, dp_$r_$k, -delta[heads_at + query]);
#if KEYS
            sh_p[at] = m * p;
#end
        }
#end
#end
        workgroupBarrier();
        for (var i = 0u; i < OTHER_TILE; i += 1u) {
#unroll p in 0..PIECES
            let x_$p = other_a[i * STRIDE + min(column + $pu * 8u, D4 - 1u)];
#if KEYS
            let y_$p = other_b[i * STRIDE + min(column + $pu * 8u, D4 - 1u)];
#end
#end
#unroll r in 0..ROWS
            let ds_$r = sh_ds[(row + $ru) * SCORE_STRIDE + i];
#if KEYS
            let p_$r = sh_p[(row + $ru) * SCORE_STRIDE + i];
#end
#unroll p in 0..PIECES
            a_$r_$p = fma(vec4<f32>(ds_$r), x_$p, a_$r_$p);
#if KEYS
            b_$r_$p = fma(vec4<f32>(p_$r), y_$p, b_$r_$p);
#end
#end
#end
        }
    }
#unroll r in 0..ROWS
    if (first + row + $ru <= last) {
        let at = base + (first + row + $ru) * 3u * width + column;
#unroll p in 0..PIECES
        if (column + $pu * 8u < D4) {
#if KEYS
            dqkv[at + width + $pu * 8u] = a_$r_$p * params.scale;
            dqkv[at + 2u * width + $pu * 8u] = b_$r_$p;
#else
            dqkv[at + $pu * 8u] = a_$r_$p * params.scale;
#end
        }
#end
    }
#end
}
