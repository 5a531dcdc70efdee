// y[n, i] = x[n, i] + r[i].
//   x, y  (count)      r  (repeated)
#import index

struct Params { count: u32, repeated: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read> r: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index < params.count) {
        y[index] = x[index] + r[index % params.repeated];
    }
}
