// y = x / (1 - rate) where the element is kept, else 0; then + residual. `together` elements side by side share a fate.
//   x, residual, y  (count)      step  (1)
#import index
#import mask

struct Params { count: u32, together: u32, seed: u32, rate: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read> residual: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

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
    let keep = kept(index / params.together, mask_key(params.seed, step_number[0]), params.rate);
    var v = select(0.0, x[index] / (1.0 - params.rate), keep);
#if RESIDUAL
    v += residual[index];
#end
    y[index] = v;
}
