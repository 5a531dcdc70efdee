// Gradients of attention within windows, its weights p = exp(s - lse) recomputed. One invocation for each query of the grid, over
// all keys of its window; with KEYS one for each key, over the queries of the grid: those of the padding have no gradient. PADDING:
// for the keys of the padding instead of the grid's.
//   ds = p (m do v^T - delta);  dq = ds k / sqrt(d);  dk = ds^T q / sqrt(d);  dv = (m p)^T do;  m is 1, or dropout's factor
//   dqkv  (N, span, 3 heads d): span rows for each sample, of the grid or the padding
#import index
#import windows_backward
@group(0) @binding(#) var<storage, read_write> dqkv: array<f32>;

fn store(row: u32, i: u32, v: vec4<f32>) {
#unroll j in 0..4
    if (i + $ju < params.d) {
        dqkv[row + i + $ju] = v[$j];
    }
#end
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let token = index % params.tokens;
    let head = index / params.tokens % params.heads;
    let window = index / params.tokens / params.heads % params.windows;
    let n = index / params.tokens / params.heads / params.windows;
    if (n >= params.samples) {
        return;
    }
    let window_at = window * params.tokens;
    let own = places[window_at + token];
#if PADDING
    if (own.x < params.cells) {
        return;
    }
    let own_row = own.x - params.cells;
#else
    if (own.x >= params.cells) {
        return;
    }
    let own_row = own.x;
#end
    let width = params.heads * params.d;
    let column = head * params.d;
    let row = (n * params.span + own_row) * 3u * width + column;
    let heads_at = (n * params.heads + head) * params.cells;
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
    let factor = 1.0 / (1.0 - params.rate);
    let weights = ((n * params.windows + window) * params.heads + head) * params.tokens;
#end
#if KEYS
#unroll i in 0..D4
    let k_$i = load(n, own.x, width + column, $iu * 4u) * params.scale;
    let v_$i = load(n, own.x, 2u * width + column, $iu * 4u);
    var dk_$i = vec4<f32>();
    var dv_$i = vec4<f32>();
#end
    for (var t = 0u; t < params.tokens; t += 1u) {
        let query = places[window_at + t];
        if (query.x >= params.cells) {
            continue;
        }
        let out = (n * params.cells + query.x) * width + column;
        let of_query = statistics[heads_at + query.x];
        var s = pair_bias(query.y, own.y, head);
        var dp = 0.0;
#unroll i in 0..D4
        let q_$i = load(n, query.x, column, $iu * 4u);
        let do_$i = load_dout(out, $iu * 4u);
        s += dot(q_$i, k_$i);
        dp += dot(do_$i, v_$i);
#end
#if DROPOUT
        let m = select(0.0, factor, kept((weights + t) * params.tokens + token, mask, params.rate));
#else
        let m = 1.0;
#end
        let p = exp(s - of_query.x);
        let ds = p * fma(m, dp, -of_query.y);
#unroll i in 0..D4
        dk_$i = fma(vec4<f32>(ds), q_$i, dk_$i);
        dv_$i = fma(vec4<f32>(m * p), do_$i, dv_$i);
#end
    }
#unroll i in 0..D4
#if PADDING
    store(row, $iu * 4u, vec4<f32>());
#end
    store(row + width, $iu * 4u, dk_$i * params.scale);
    store(row + 2u * width, $iu * 4u, dv_$i);
#end
#else
    let of_query = statistics[heads_at + own.x];
    let out = (n * params.cells + own.x) * width + column;
#unroll i in 0..D4
    let q_$i = load(n, own.x, column, $iu * 4u) * params.scale;
    let do_$i = load_dout(out, $iu * 4u);
    var dq_$i = vec4<f32>();
#end
    for (var t = 0u; t < params.tokens; t += 1u) {
        let key = places[window_at + t];
        var s = pair_bias(own.y, key.y, head);
        var dp = 0.0;
#unroll i in 0..D4
        let k_$i = load(n, key.x, width + column, $iu * 4u);
        s += dot(q_$i, k_$i);
        dp += dot(do_$i, load(n, key.x, 2u * width + column, $iu * 4u));
#end
#if DROPOUT
        let m = select(0.0, factor, kept((weights + token) * params.tokens + t, mask, params.rate));
#else
        let m = 1.0;
#end
        let ds = exp(s - of_query.x) * fma(m, dp, -of_query.y);
#unroll i in 0..D4
        dq_$i = fma(vec4<f32>(ds), k_$i, dq_$i);
#end
    }
#unroll i in 0..D4
    store(row, $iu * 4u, dq_$i * params.scale);
#end
#end
}
