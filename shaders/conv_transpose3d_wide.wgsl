// 2x2x2 transposed convolution, stride 2, of rows of whole blocks of four voxels: everything but halves of
// weights is loaded and stored four values at a time.
//   y[n, k, 2i+a, 2j+b, 2l+c] = sum over channels of act(norm(x))[n, channel, i, j, l] w[channel, k, a, b, c] + bias[k]
//   x_0  (N, C, X, Y, Z)      w  (C, K, 2, 2, 2)      y  (N, K, 2X, 2Y, 2Z)
// One invocation holds FOURS x 4 input voxels x OUTPUTS output channels x 8 phases.
#import index
#import weights

struct Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<vec4<f32>>;
#import term 0
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Positions are counted in blocks of four voxels.
    let row = params.z / 4u;
    let volume = params.x * params.y * row;
    let tiles = (volume + FOURS - 1u) / FOURS;
    let blocks = (params.k + OUTPUTS - 1u) / OUTPUTS;
    let index = flat_group(wid, counts) * 64u + lane;
    let first = index % tiles * FOURS;
    let k = index / tiles % blocks * OUTPUTS;
    let n = index / tiles / blocks;
    if (n >= params.samples) {
        return;
    }
    // Blocks and channels beyond the last repeat it and are not stored.
#unroll o in 0..OUTPUTS
    let k_$o = min(k + $ou, params.k - 1u);
#if BIAS
    let b_$o = vec4<f32>(b[k_$o]);
#else
    let b_$o = vec4<f32>();
#end
#end
#unroll f in 0..FOURS
    let at_$f = min(first + $fu, volume - 1u);
#unroll v in 0..4
#unroll o in 0..OUTPUTS
    var near_$f_$v_$o = b_$o;
    var far_$f_$v_$o = b_$o;
#end
#end
#end
    for (var c = 0u; c < params.channels; c += 1u) {
        let channel = (n * params.channels + c) * volume;
        let own = factors_0(n * params.channels + c, c);
#unroll f in 0..FOURS
        let a_$f = value4_0(x_0[channel + at_$f], own);
#end
#unroll o in 0..OUTPUTS
        {
            let near = weight4((c * params.k + k_$o) * 2u);
            let far = weight4((c * params.k + k_$o) * 2u + 1u);
#unroll f in 0..FOURS
#unroll v in 0..4
            near_$f_$v_$o = fma(vec4<f32>(a_$f[$v]), near, near_$f_$v_$o);
            far_$f_$v_$o = fma(vec4<f32>(a_$f[$v]), far, far_$f_$v_$o);
#end
#end
        }
#end
    }
    let plane = 4u * params.y * row;
#unroll f in 0..FOURS
#unroll o in 0..OUTPUTS
    if ((first + $fu < volume) & (k + $ou < params.k)) {
        let i = at_$f / row / params.y;
        let j = at_$f / row % params.y;
        let to = (n * params.k + k_$o) * 8u * volume + i * 2u * plane + j * 4u * row + at_$f % row * 2u;
        y[to] = vec4<f32>(near_$f_0_$o.xy, near_$f_1_$o.xy);
        y[to + 1u] = vec4<f32>(near_$f_2_$o.xy, near_$f_3_$o.xy);
        y[to + 2u * row] = vec4<f32>(near_$f_0_$o.zw, near_$f_1_$o.zw);
        y[to + 2u * row + 1u] = vec4<f32>(near_$f_2_$o.zw, near_$f_3_$o.zw);
        y[to + plane] = vec4<f32>(far_$f_0_$o.xy, far_$f_1_$o.xy);
        y[to + plane + 1u] = vec4<f32>(far_$f_2_$o.xy, far_$f_3_$o.xy);
        y[to + plane + 2u * row] = vec4<f32>(far_$f_0_$o.zw, far_$f_1_$o.zw);
        y[to + plane + 2u * row + 1u] = vec4<f32>(far_$f_2_$o.zw, far_$f_3_$o.zw);
    }
#end
#end
}
