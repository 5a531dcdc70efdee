// One AdamW step with decoupled decay, and the moving average of the weights, all in place.
//   gradient, w, m, v, average  (count)
//   rates  learning rate, decay, 1 - beta1, 1 - beta2, epsilon, 1 - beta1^t, 1 - beta2^t, 1 - decay of the average
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
    let first = flat_group(wid, counts) * 256u + lane;
    if (clip[2] == 0.0) {
        return;
    }
    let factor = clip[1];
    let decay = select(1.0, 1.0 - rates[0] * rates[1], params.decays == 1u);
    let pace = rates[0] / rates[5];
    let mean_share = rates[2];
    let square_share = rates[3];
    let epsilon = rates[4];
    let root = 1.0 / sqrt(rates[6]);
#if AVERAGE
    let average_share = rates[7];
#end
#unroll i in 0..4
    {
        let index = first + $iu * 64u;
        if (index < params.count) {
            let g = gradient[index] * factor;
            let mean = fma(g - m[index], mean_share, m[index]);
            let square = fma(g * g - v[index], square_share, v[index]);
            let next = fma(w[index], decay, -pace * mean / fma(sqrt(square), root, epsilon));
            m[index] = mean;
            v[index] = square;
            w[index] = next;
#if AVERAGE
            average[index] = fma(next - average[index], average_share, average[index]);
#end
        }
    }
#end
}
