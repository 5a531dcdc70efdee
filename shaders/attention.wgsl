// Multi-head self-attention with a running softmax: no token x token matrix is stored.
//   o = softmax(q k^T / sqrt(d)) v, per head; row t of qkv is [q | k | v], each (heads, d)
//   qkv  (N, T, 3 heads d)
//   o    (N, T, heads d)
//   lse  (N, heads, T): max + log of the sum, what the backward pass recomputes the weights from
// One invocation holds QUERIES rows of q and o; D4 = d / 4 rounded up. DROPOUT drops some of the normalised weights, numbered
// as (N, heads, query, key), in step  (1).
#import index
#if DROPOUT
#import mask
#end

struct Params { samples: u32, tokens: u32, heads: u32, d: u32, scale: f32, rate: f32, seed: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if SCALAR
@group(0) @binding(#) var<storage, read> qkv: array<f32>;
#else
@group(0) @binding(#) var<storage, read> qkv: array<vec4<f32>>;
#end
#if DROPOUT
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> o: array<f32>;
@group(0) @binding(#) var<storage, read_write> lse: array<f32>;

// Four values of a head's row that starts at element `row`; zeros beyond its end.
#if SCALAR
fn load(row: u32, i: u32) -> vec4<f32> {
    let last = params.d - 1u;
    let at = vec4<u32>(i, i + 1u, i + 2u, i + 3u);
    let v = vec4<f32>(
        qkv[row + min(at.x, last)], qkv[row + min(at.y, last)],
        qkv[row + min(at.z, last)], qkv[row + min(at.w, last)],
    );
    return select(vec4<f32>(), v, at <= vec4<u32>(last));
}
#else
fn load(row: u32, i: u32) -> vec4<f32> {
    return qkv[(row + i) / 4u];
}
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let blocks = (params.tokens + QUERIES - 1u) / QUERIES;
    let index = flat_group(wid, counts) * 64u + lane;
    let first = index % blocks * QUERIES;
    let head = index / blocks % params.heads;
    let n = index / blocks / params.heads;
    if (n >= params.samples) {
        return;
    }
    let width = params.heads * params.d;
    let base = n * params.tokens * 3u * width + head * params.d;
#unroll r in 0..QUERIES
    // Rows beyond the end repeat the last and are not stored.
    let row_$r = base + min(first + $ru, params.tokens - 1u) * 3u * width;
    var most_$r = -1e30;
    var sum_$r = 0.0;
#unroll i in 0..D4
    let q_$r_$i = load(row_$r, $iu * 4u) * params.scale;
    var o_$r_$i = vec4<f32>();
#end
#end
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
#unroll r in 0..QUERIES
    let weights_$r = ((n * params.heads + head) * params.tokens + first + $ru) * params.tokens;
#end
#end
    for (var t = 0u; t < params.tokens; t += 1u) {
        let key = base + t * 3u * width + width;
#unroll r in 0..QUERIES
        var s_$r = 0.0;
#end
#unroll i in 0..D4
        {
            let k = load(key, $iu * 4u);
#unroll r in 0..QUERIES
            s_$r += dot(q_$r_$i, k);
#end
        }
#end
#unroll r in 0..QUERIES
        let top_$r = max(most_$r, s_$r);
        let decay_$r = exp(most_$r - top_$r);
        let p_$r = exp(s_$r - top_$r);
        sum_$r = fma(sum_$r, decay_$r, p_$r);
        most_$r = top_$r;
#if DROPOUT
        let w_$r = select(0.0, p_$r, kept(weights_$r + t, mask, params.rate));
#else
        let w_$r = p_$r;
#end
#end
#unroll i in 0..D4
        {
            let v = load(key + width, $iu * 4u);
#unroll r in 0..QUERIES
            o_$r_$i = fma(o_$r_$i, vec4<f32>(decay_$r), v * w_$r);
#end
        }
#end
    }
#unroll r in 0..QUERIES
    if (first + $ru < params.tokens) {
        let out = (n * params.tokens + first + $ru) * width + head * params.d;
#if DROPOUT
        let total_$r = sum_$r * (1.0 - params.rate);
#else
        let total_$r = sum_$r;
#end
#unroll i in 0..D4
#unroll j in 0..4
        if ($iu * 4u + $ju < params.d) {
            o[out + $iu * 4u + $ju] = o_$r_$i[$j] / total_$r;
        }
#end
#end
        lse[(n * params.heads + head) * params.tokens + first + $ru] = most_$r + log(sum_$r);
    }
#end
}
