// y = x_0 + x_1 + ...
//   x_i, y  (count); one invocation adds four
#import index

struct Params { count: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#unroll t in 0..TERMS
@group(0) @binding(#) var<storage, read> x_$t: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = flat_group(wid, counts) * 256u + lane;
#unroll i in 0..4
    {
        let at = first + $iu * 64u;
        if (at < params.count) {
            var sum = 0.0;
#unroll t in 0..TERMS
            sum += x_$t[at];
#end
            y[at] = sum;
        }
    }
#end
}
