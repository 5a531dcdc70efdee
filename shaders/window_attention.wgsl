// Multi-head self-attention within windows, with a running softmax: no token x token matrix is stored.
//   o = softmax(q k^T / sqrt(d) + table[distance] + mask) v, per window and head
//   o    (N, cells, heads d)
//   lse  (N, heads, cells): max + log of the sum, what the backward pass recomputes the weights from
// One invocation holds QUERIES rows of q and o; D4 = d / 4 rounded up. SHARED: a group of 64 has queries of one window and head
// and takes the keys KEYS at a time through workgroup memory. DROPOUT drops some of the normalised weights, numbered as
// (N, windows, heads, query, key), in step  (1).
#import index
#import windows
#if DROPOUT
#import mask
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> o: array<f32>;
@group(0) @binding(#) var<storage, read_write> lse: array<f32>;

#if SHARED
var<workgroup> sh_k: array<vec4<f32>, KEYS * D4>;
var<workgroup> sh_v: array<vec4<f32>, KEYS * D4>;
var<workgroup> sh_place: array<u32, KEYS>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
#if SHARED
    let blocks = (params.tokens + 64u * QUERIES - 1u) / (64u * QUERIES);
    let index = flat_group(wid, counts);
    let first = index % blocks * 64u * QUERIES + lane * QUERIES;
#else
    let blocks = (params.tokens + QUERIES - 1u) / QUERIES;
    let index = flat_group(wid, counts) * 64u + lane;
    let first = index % blocks * QUERIES;
#end
    let head = index / blocks % params.heads;
    let window = index / blocks / params.heads % params.windows;
    let n = index / blocks / params.heads / params.windows;
    if (n >= params.samples) {
        return;
    }
    let width = params.heads * params.d;
    let column = head * params.d;
    let window_at = window * params.tokens;
#unroll r in 0..QUERIES
    // Rows beyond the end repeat the last and are not stored.
    let place_$r = places[window_at + min(first + $ru, params.tokens - 1u)];
    var most_$r = -1e30;
    var sum_$r = 0.0;
#unroll i in 0..D4
    let q_$r_$i = load(n, place_$r.x, column, $iu * 4u) * params.scale;
    var o_$r_$i = vec4<f32>();
#end
#end
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
#unroll r in 0..QUERIES
    let weights_$r = (((n * params.windows + window) * params.heads + head) * params.tokens + first + $ru) * params.tokens;
#end
#end
#if SHARED
    for (var tile = 0u; tile < params.tokens; tile += KEYS) {
        workgroupBarrier();
        for (var i = lane; i < KEYS * D4; i += 64u) {
            let place = places[window_at + min(tile + i / D4, params.tokens - 1u)];
            sh_k[i] = load(n, place.x, width + column, i % D4 * 4u);
            sh_v[i] = load(n, place.x, 2u * width + column, i % D4 * 4u);
            if (i % D4 == 0u) {
                sh_place[i / D4] = place.y;
            }
        }
        workgroupBarrier();
        let end = min(tile + KEYS, params.tokens);
        for (var t = tile; t < end; t += 1u) {
            let key = sh_place[t - tile];
#else
        for (var t = 0u; t < params.tokens; t += 1u) {
            let place = places[window_at + t];
            let key = place.y;
#end
#unroll r in 0..QUERIES
            var s_$r = pair_bias(place_$r.y, key, head);
#end
#unroll i in 0..D4
            {
#if SHARED
                let k = sh_k[(t - tile) * D4 + $iu];
#else
                let k = load(n, place.x, width + column, $iu * 4u);
#end
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
#if SHARED
                let v = sh_v[(t - tile) * D4 + $iu];
#else
                let v = load(n, place.x, 2u * width + column, $iu * 4u);
#end
#unroll r in 0..QUERIES
                o_$r_$i = fma(o_$r_$i, vec4<f32>(decay_$r), v * w_$r);
#end
            }
#end
        }
#if SHARED
    }
#end
#unroll r in 0..QUERIES
    if ((first + $ru < params.tokens) & (place_$r.x < params.cells)) {
        let out = (n * params.cells + place_$r.x) * width + column;
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
        lse[(n * params.heads + head) * params.cells + place_$r.x] = most_$r + log(sum_$r);
    }
#end
}
