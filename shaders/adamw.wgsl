// One AdamW step with decoupled decay, and the moving average of the weights, all in place.
//   gradient, w, m, v, average  (count)
//   rates  learning rate, decay, beta1, beta2, epsilon, 1 - beta1^t, 1 - beta2^t, decay of the average
//   clip   (length, factor, finite, 0) of all gradients; nothing changes if they are not finite
#import index

struct Params { count: u32, decays: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> gradient: array<f32>;
@group(0) @binding(#) var<storage, read> rates: array<f32>;
@group(0) @binding(#) var<storage, read> clip: array<f32>;
@group(0) @binding(#) var<storage, read_write> w: array<f32>;
@group(0) @binding(#) var<storage, read_write> m: array<f32>;
@group(0) @binding(#) var<storage, read_write> v: array<f32>;
#if AVERAGE
@group(0) @binding(#) var<storage, read_write> average: array<f32>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.count || clip[2] == 0.0) {
        return;
    }
    let g = gradient[index] * clip[1];
    let first = fma(g - m[index], 1.0 - rates[2], m[index]);
    let second = fma(g * g - v[index], 1.0 - rates[3], v[index]);
    let kept = w[index] * select(1.0, 1.0 - rates[0] * rates[1], params.decays == 1u);
    let next = kept - rates[0] / rates[5] * first / (sqrt(second / rates[6]) + rates[4]);
    m[index] = first;
    v[index] = second;
    w[index] = next;
#if AVERAGE
    average[index] = fma(average[index] - next, rates[7], next);
#end
}
