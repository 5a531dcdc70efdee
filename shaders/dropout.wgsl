// y = x / (1 - rate) where the hash of (seed, step, index) says so, else 0: the same values for the same step, whatever
// the adapter and the order of execution.
//   x, y  (count)      step  (1)
#import index

struct Params { count: u32, seed: u32, rate: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

// PCG's output permutation (Jarzynski and Olano, JCGT 2020).
fn hash(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

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
    let bits = hash(index ^ hash(params.seed ^ hash(u32(step_number[0]))));
    // 24 bits are a number in [0, 1) that f32 holds exactly.
    let keep = f32(bits >> 8u) * 5.9604645e-8 >= params.rate;
    y[index] = select(0.0, x[index] / (1.0 - params.rate), keep);
}
