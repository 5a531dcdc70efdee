// What dropout drops: a hash of the place's seed, the step and the element's number, the same on every adapter and in every
// order of execution.

// PCG's output permutation (Jarzynski and Olano, JCGT 2020).
fn hash(value: u32) -> u32 {
    let state = value * 747796405u + 2891336453u;
    let word = ((state >> ((state >> 28u) + 4u)) ^ state) * 277803737u;
    return (word >> 22u) ^ word;
}

// The part of the hash that all elements share.
fn mask_key(seed: u32, step_number: f32) -> u32 {
    return hash(seed ^ hash(u32(step_number)));
}

fn kept(index: u32, key: u32, rate: f32) -> bool {
    // 24 bits are a number in [0, 1) that f32 holds exactly.
    return f32(hash(index ^ key) >> 8u) * 5.9604645e-8 >= rate;
}
