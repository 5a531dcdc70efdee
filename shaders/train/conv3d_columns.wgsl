// First stage of a convolution's weight gradient, for one source, for adapters that run a load lane after lane: what is
// loaded serves many multiply-adds, and four values are loaded at a time where rows along Z are whole blocks of four
// voxels (WIDE).
//   dw[c, t, k] = sum over n, p of a[n, c, p + t - 1] dy[n, k, p]; a = act(norm(x))
//   x_0       (N, C, X, Y, Z)
//   dy        (N, K, X, Y, Z)
//   partials  (parts, total) of vec4: [first + c][tap][K padded to 4]
// One invocation holds CHANNELS input channels x 4 QUADS output channels x the nine taps along Y and Z of one tap along
// X (one tap if not CUBE). It slides along Y through columns that are STEP voxels wide along Z (a divisor of the row), so
// that a row of the source is loaded once and meets the gradient's rows before, at and after it.
#import index
#import weight_partials
#import values

struct Params { x: u32, y: u32, z: u32, channels: u32, k: u32, n: u32, parts: u32, first: u32, total: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<Value>;
#import value 0
@group(0) @binding(#) var<storage, read> dy: array<Value>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let c_blocks = (params.channels + CHANNELS - 1u) / CHANNELS;
    let k_blocks = (params.k + 4u * QUADS - 1u) / (4u * QUADS);
    // Neighbouring invocations take neighbouring voxels.
    let part = index % params.parts;
    let block = index / params.parts;
#if CUBE
    let t = block % 3u;
    let k = block / 3u % k_blocks * 4u * QUADS;
    let c = block / 3u / k_blocks * CHANNELS;
#else
    let k = block % k_blocks * 4u * QUADS;
    let c = block / k_blocks * CHANNELS;
#end
    if (c >= params.channels) {
        return;
    }
    // All positions are counted in values.
    let row = params.z / WIDTH;
    let plane = params.y * row;
    let volume = params.x * params.y * params.z / WIDTH;
    // Channels beyond the last repeat it and are dropped at the end.
#unroll i in 0..CHANNELS
    let c_$i = min(c + $iu, params.channels - 1u);
#unroll o in 0..QUADS
#unroll t in 0..HELD_TAPS
    var sum_$i_$o_$t = vec4<f32>();
#end
#end
#end
#unroll o in 0..QUADS
#unroll j in 0..4
    let k_$o_$j = min(k + $ou * 4u + $ju, params.k - 1u);
#end
#end
#if CUBE
    let across = row / VALUES;
    for (var column = part; column < params.n * params.x * across; column += params.parts) {
        let z = column % across * VALUES;
        let px = column / across % params.x;
        let n = column / across / params.x;
        let qx = px + t;
        if ((qx < 1u) | (qx > params.x)) {
            continue;
        }
        let first = z == 0u;
        let last = z + VALUES == row;
#unroll o in 0..QUADS
#unroll j in 0..4
        let d_$o_$j = (n * params.k + k_$o_$j) * volume + px * plane + z;
#unroll v in 0..STEP
        var before_$o_$j_$v = 0.0;
        var here_$o_$j_$v = 0.0;
        var after_$o_$j_$v = 0.0;
#end
#end
#end
#unroll i in 0..CHANNELS
        let from_$i = (n * params.channels + c_$i) * volume + (qx - 1u) * plane + z;
        let f_$i = factors_0(n * params.channels + c_$i, c_$i);
#end
        // The gradient's rows up to r, the source's row r - 1; those outside count as zero.
        for (var r = 0u; r <= params.y; r += 1u) {
            let d_row = min(r, params.y - 1u) * row;
            let d_inside = r < params.y;
            let x_row = (max(r, 1u) - 1u) * row;
            let x_inside = r > 0u;
#unroll o in 0..QUADS
#unroll j in 0..4
#unroll q in 0..VALUES
            let d_$o_$j_$q = select(Value(), dy[d_$o_$j + d_row + $qu], d_inside);
#end
#unroll v in 0..STEP
            before_$o_$j_$v = here_$o_$j_$v;
            here_$o_$j_$v = after_$o_$j_$v;
#if WIDE
            after_$o_$j_$v = d_$o_$j_$(v/4)[$(v%4)];
#else
            after_$o_$j_$v = d_$o_$j_$v;
#end
#end
#end
#end
#unroll i in 0..CHANNELS
            {
                let at = from_$i + x_row;
#if WIDE
                let left = value_0(x_0[at - select(1u, 0u, first)].w, f_$i);
                let right = value_0(x_0[at + VALUES - select(0u, 1u, last)].x, f_$i);
#else
                let left = value_0(x_0[at - select(1u, 0u, first)], f_$i);
                let right = value_0(x_0[at + VALUES - select(0u, 1u, last)], f_$i);
#end
                let a_0 = select(0.0, left, x_inside & !first);
                let a_$(STEP+1) = select(0.0, right, x_inside & !last);
#unroll q in 0..VALUES
                let four_$q = select(Value(), values_0(x_0[at + $qu], f_$i), x_inside);
#end
#unroll v in 0..STEP
#if WIDE
                let a_$(v+1) = four_$(v/4)[$(v%4)];
#else
                let a_$(v+1) = four_$v;
#end
#end
#unroll o in 0..QUADS
#unroll v in 0..STEP
                {
                    let above = vec4<f32>(after_$o_0_$v, after_$o_1_$v, after_$o_2_$v, after_$o_3_$v);
                    sum_$i_$o_0 = fma(vec4<f32>(a_$v), above, sum_$i_$o_0);
                    sum_$i_$o_1 = fma(vec4<f32>(a_$(v+1)), above, sum_$i_$o_1);
                    sum_$i_$o_2 = fma(vec4<f32>(a_$(v+2)), above, sum_$i_$o_2);
                    let level = vec4<f32>(here_$o_0_$v, here_$o_1_$v, here_$o_2_$v, here_$o_3_$v);
                    sum_$i_$o_3 = fma(vec4<f32>(a_$v), level, sum_$i_$o_3);
                    sum_$i_$o_4 = fma(vec4<f32>(a_$(v+1)), level, sum_$i_$o_4);
                    sum_$i_$o_5 = fma(vec4<f32>(a_$(v+2)), level, sum_$i_$o_5);
                    let below = vec4<f32>(before_$o_0_$v, before_$o_1_$v, before_$o_2_$v, before_$o_3_$v);
                    sum_$i_$o_6 = fma(vec4<f32>(a_$v), below, sum_$i_$o_6);
                    sum_$i_$o_7 = fma(vec4<f32>(a_$(v+1)), below, sum_$i_$o_7);
                    sum_$i_$o_8 = fma(vec4<f32>(a_$(v+2)), below, sum_$i_$o_8);
                }
#end
#end
            }
#end
        }
    }
#unroll i in 0..CHANNELS
#unroll o in 0..QUADS
#unroll s in 0..HELD_TAPS
    store(part, c + $iu, 9u * t + $su, k / 4u + $ou, sum_$i_$o_$s);
#end
#end
#end
#else
    // One invocation takes neighbouring voxels: whole cache lines.
    let share = (params.n * volume + params.parts - 1u) / params.parts;
    for (var at = part * share; at < min((part + 1u) * share, params.n * volume); at += 1u) {
        let n = at / volume;
        let voxel = at % volume;
#unroll o in 0..QUADS
#unroll j in 0..4
        let d_$o_$j = dy[(n * params.k + k_$o_$j) * volume + voxel];
#end
#end
#unroll i in 0..CHANNELS
        {
            let row = n * params.channels + c_$i;
            let a = values_0(x_0[row * volume + voxel], factors_0(row, c_$i));
#unroll o in 0..QUADS
#if WIDE
#unroll z in 0..4
            sum_$i_$o_0 = fma(vec4<f32>(a[$z]), vec4<f32>(d_$o_0[$z], d_$o_1[$z], d_$o_2[$z], d_$o_3[$z]), sum_$i_$o_0);
#end
#else
            sum_$i_$o_0 = fma(vec4<f32>(a), vec4<f32>(d_$o_0, d_$o_1, d_$o_2, d_$o_3), sum_$i_$o_0);
#end
#end
        }
#end
    }
#unroll i in 0..CHANNELS
#unroll o in 0..QUADS
    store(part, c + $iu, 0u, k / 4u + $ou, sum_$i_$o_0);
#end
#end
#end
}
