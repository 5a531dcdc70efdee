// Gradients of attention, its weights p = exp(s - lse) recomputed. STAGE 0: d = rowsum(do o), one invocation per row.
// STAGE 1: dq, one per query and head, over all keys. STAGE 2: dk and dv, one per key and head, over all queries.
//   ds = p (m do v^T - d);  dq = ds k / sqrt(d);  dk = ds^T q / sqrt(d);  dv = (m p)^T do;  m is 1, or dropout's factor
//   qkv, dqkv  (N, T, 3 heads d)      o, dout  (N, T, heads d)      lse, delta  (N, heads, T)
#import index
#if DROPOUT
#import mask
#end

struct Params { samples: u32, tokens: u32, heads: u32, d: u32, scale: f32, rate: f32, seed: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if !FIRST
#if SCALAR
@group(0) @binding(#) var<storage, read> qkv: array<f32>;
#else
@group(0) @binding(#) var<storage, read> qkv: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> lse: array<f32>;
#else
@group(0) @binding(#) var<storage, read> o: array<f32>;
#end
#if FIRST
@group(0) @binding(#) var<storage, read> dout: array<f32>;
@group(0) @binding(#) var<storage, read_write> delta: array<f32>;
#else
#if SCALAR
@group(0) @binding(#) var<storage, read> dout: array<f32>;
#else
@group(0) @binding(#) var<storage, read> dout: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> delta: array<f32>;
#if DROPOUT
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> dqkv: array<f32>;

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
fn load_dout(row: u32, i: u32) -> vec4<f32> {
    let last = params.d - 1u;
    let at = vec4<u32>(i, i + 1u, i + 2u, i + 3u);
    let v = vec4<f32>(
        dout[row + min(at.x, last)], dout[row + min(at.y, last)],
        dout[row + min(at.z, last)], dout[row + min(at.w, last)],
    );
    return select(vec4<f32>(), v, at <= vec4<u32>(last));
}
#else
fn load(row: u32, i: u32) -> vec4<f32> {
    return qkv[(row + i) / 4u];
}
fn load_dout(row: u32, i: u32) -> vec4<f32> {
    return dout[(row + i) / 4u];
}
#end

fn store(row: u32, i: u32, v: vec4<f32>) {
#unroll j in 0..4
    if (i + $ju < params.d) {
        dqkv[row + i + $ju] = v[$j];
    }
#end
}
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let token = index % params.tokens;
    let head = index / params.tokens % params.heads;
    let n = index / params.tokens / params.heads;
    if (n >= params.samples) {
        return;
    }
    let width = params.heads * params.d;
    let own = (n * params.tokens + token) * width + head * params.d;
#if FIRST
    var sum = 0.0;
    for (var i = 0u; i < params.d; i += 1u) {
        sum = fma(dout[own + i], o[own + i], sum);
    }
    delta[index] = sum;
#else
    let base = n * params.tokens * 3u * width + head * params.d;
    let row = base + token * 3u * width;
    let heads_at = (n * params.heads + head) * params.tokens;
#if DROPOUT
    let mask = mask_key(params.seed, step_number[0]);
    let factor = 1.0 / (1.0 - params.rate);
#end
#if KEYS
#unroll i in 0..D4
    let k_$i = load(row + width, $iu * 4u) * params.scale;
    let v_$i = load(row + 2u * width, $iu * 4u);
    var dk_$i = vec4<f32>();
    var dv_$i = vec4<f32>();
#end
    for (var t = 0u; t < params.tokens; t += 1u) {
        let query = base + t * 3u * width;
        let out = (n * params.tokens + t) * width + head * params.d;
        var s = 0.0;
        var dp = 0.0;
#unroll i in 0..D4
        let q_$i = load(query, $iu * 4u);
        let do_$i = load_dout(out, $iu * 4u);
        s += dot(q_$i, k_$i);
        dp += dot(do_$i, v_$i);
#end
#if DROPOUT
        let m = select(0.0, factor, kept((heads_at + t) * params.tokens + token, mask, params.rate));
#else
        let m = 1.0;
#end
        let p = exp(s - lse[heads_at + t]);
        let ds = p * fma(m, dp, -delta[heads_at + t]);
#unroll i in 0..D4
        dk_$i = fma(vec4<f32>(ds), q_$i, dk_$i);
        dv_$i = fma(vec4<f32>(m * p), do_$i, dv_$i);
#end
    }
#unroll i in 0..D4
    store(row + width, $iu * 4u, dk_$i * params.scale);
    store(row + 2u * width, $iu * 4u, dv_$i);
#end
#else
#unroll i in 0..D4
    let q_$i = load(row, $iu * 4u) * params.scale;
    let do_$i = load_dout(own, $iu * 4u);
    var dq_$i = vec4<f32>();
#end
    let own_lse = lse[index];
    let own_delta = delta[index];
    for (var t = 0u; t < params.tokens; t += 1u) {
        let key = base + t * 3u * width + width;
        var s = 0.0;
        var dp = 0.0;
#unroll i in 0..D4
        let k_$i = load(key, $iu * 4u);
        s += dot(q_$i, k_$i);
        dp += dot(do_$i, load(key + width, $iu * 4u));
#end
#if DROPOUT
        let m = select(0.0, factor, kept(index * params.tokens + t, mask, params.rate));
#else
        let m = 1.0;
#end
        let ds = exp(s - own_lse) * fma(m, dp, -own_delta);
#unroll i in 0..D4
        dq_$i = fma(vec4<f32>(ds), k_$i, dq_$i);
#end
    }
#unroll i in 0..D4
    store(row, $iu * 4u, dq_$i * params.scale);
#end
#end
#end
}
