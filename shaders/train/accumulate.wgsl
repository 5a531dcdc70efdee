// sum = first ? scale g : sum + scale g
//   gradient, sum  (count)      first  (1), not 0 for the first batch
#import index

struct Params { count: u32, scale: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> gradient: array<f32>;
@group(0) @binding(#) var<storage, read> first: array<f32>;
@group(0) @binding(#) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = flat_group(wid, counts) * 256u + lane;
    let fresh = first[0] != 0.0;
#unroll i in 0..4
    {
        let index = start + $iu * 64u;
        if (index < params.count) {
            // Selected, not multiplied by zero: an old sum may be NaN.
            sum[index] = fma(gradient[index], params.scale, select(sum[index], 0.0, fresh));
        }
    }
#end
}
