// One AdamW step with decoupled decay, and the moving average of the weights, all in place.
//   gradient, w, m, v, average  (count), counted in values
//   rates  learning rate, decay, 1 - beta1, 1 - beta2, epsilon, 1 - beta1^t, 1 - beta2^t, 1 - decay of the average
//   clip   (length, factor, finite, 0) of all gradients; nothing changes if they are not finite
#import index
#import runs
#import values

struct Params { count: u32, decays: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> gradient: array<Value>;
@group(0) @binding(#) var<storage, read> rates: array<f32>;
@group(0) @binding(#) var<storage, read> clip: array<f32>;
@group(0) @binding(#) var<storage, read_write> w: array<Value>;
@group(0) @binding(#) var<storage, read_write> m: array<Value>;
@group(0) @binding(#) var<storage, read_write> v: array<Value>;
#if AVERAGE
@group(0) @binding(#) var<storage, read_write> average: array<Value>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if (clip[2] == 0.0) {
        return;
    }
    let factor = clip[1];
    let decay = Value(select(1.0, 1.0 - rates[0] * rates[1], params.decays == 1u));
    let pace = rates[0] / rates[5];
    let mean_share = Value(rates[2]);
    let square_share = Value(rates[3]);
    let epsilon = Value(rates[4]);
    let root = Value(1.0 / sqrt(rates[6]));
#if AVERAGE
    let average_share = Value(rates[7]);
#end
    let first = flat_group(wid, counts) * 256u;
    let end = run_end(first, lane, 4u, params.count);
    for (var index = run_start(first, lane, 4u); index < end; index += RUN) {
        let g = gradient[index] * factor;
        let m_before = m[index];
        let v_before = v[index];
        let mean = fma(g - m_before, mean_share, m_before);
        let square = fma(g * g - v_before, square_share, v_before);
        let next = fma(w[index], decay, -pace * mean / fma(sqrt(square), root, epsilon));
        m[index] = mean;
        v[index] = square;
        w[index] = next;
#if AVERAGE
        let before = average[index];
        average[index] = fma(next - before, average_share, before);
#end
    }
}
