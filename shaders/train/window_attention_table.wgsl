// The gradient of the relative position bias: for each distance and head the sum of ds over the pairs of a window that lie so far
// apart, over `span` windows of all samples in a row; the other parts' sums are added by sum_parts.
//   ds = exp(s - lse) (m do v^T - delta);  m is 1, or dropout's factor
//   partials  (parts, distances, heads)
#import index
#import windows_backward
@group(0) @binding(#) var<storage, read_write> partials: array<f32>;

// ds of a pair of tokens.
fn gradient(n: u32, window: u32, head: u32, query_token: u32, key_token: u32) -> f32 {
    let query = places[window * params.tokens + query_token];
    let key = places[window * params.tokens + key_token];
    if (query.x >= params.cells) {
        return 0.0;
    }
    let width = params.heads * params.d;
    let column = head * params.d;
    let out = (n * params.cells + query.x) * width + column;
    var s = 0.0;
    var dp = 0.0;
#unroll i in 0..D4
    s += dot(load(n, query.x, column, $iu * 4u), load(n, key.x, width + column, $iu * 4u));
    dp += dot(load_dout(out, $iu * 4u), load(n, key.x, 2u * width + column, $iu * 4u));
#end
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
    let weight = (((n * params.windows + window) * params.heads + head) * params.tokens + query_token) * params.tokens + key_token;
    let m = select(0.0, 1.0 / (1.0 - params.rate), kept(weight, mask, params.rate));
#else
    let m = 1.0;
#end
    let of_query = statistics[(n * params.heads + head) * params.cells + query.x];
    return exp(fma(s, params.scale, pair_bias(query.y, key.y, head)) - of_query.x) * fma(m, dp, -of_query.y);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let full = vec3<i32>(i32(params.full_x), i32(params.full_y), i32(params.full_z));
    let reach = 2 * full - 1;
    let distances = u32(reach.x * reach.y * reach.z);
    let head = index % params.heads;
    let distance = i32(index / params.heads % distances);
    let part = index / params.heads / distances;
    let windows = params.samples * params.windows;
    if (part * params.span >= windows) {
        return;
    }
    // The query's token is the key's and a step; both lie in a full window.
    let away = vec3<i32>(distance / reach.z / reach.y, distance / reach.z % reach.y, distance % reach.z) - full + 1;
    let step = (away.x * full.y + away.y) * full.z + away.z;
    let low = max(-away, vec3<i32>());
    let high = min(full - away, full);
    let tokens = i32(params.tokens);
    var sum = 0.0;
    for (var w = part * params.span; w < min((part + 1u) * params.span, windows); w += 1u) {
        for (var x = low.x; x < high.x; x += 1) {
            for (var y = low.y; y < high.y; y += 1) {
                for (var z = low.z; z < high.z; z += 1) {
                    let key = (x * full.y + y) * full.z + z;
                    let query = key + step;
                    if ((key < tokens) & (query < tokens)) {
                        sum += gradient(w / params.windows, w % params.windows, head, u32(query), u32(key));
                    }
                }
            }
        }
    }
    partials[index] = sum;
}
