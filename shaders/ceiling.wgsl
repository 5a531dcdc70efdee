// What this adapter can do at best, for comparison.
//   COPY:  y = x, 16 bytes per invocation      else: y = x after `rounds` rounds of 32 independent multiply-adds on vec4
#import index

struct Params { count: u32, rounds: u32, factor: f32, summand: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.count) {
        return;
    }
#if COPY
    y[index] = x[index];
#else
    let a = vec4<f32>(params.factor);
    let b = vec4<f32>(params.summand);
#unroll i in 0..8
    var v_$i = x[index] + vec4<f32>(f32($i));
#end
    for (var r = 0u; r < params.rounds; r += 1u) {
#unroll j in 0..4
#unroll i in 0..8
        v_$i = fma(v_$i, a, b);
#end
#end
    }
    y[index] = v_0 + v_1 + v_2 + v_3 + v_4 + v_5 + v_6 + v_7;
#end
}
