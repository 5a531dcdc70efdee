// Sums over a workgroup of 64 invocations in a fixed tree. For uniform control flow.
var<workgroup> sh_sums: array<f32, 64>;

fn group_sum(lane: u32, value: f32) -> f32 {
    sh_sums[lane] = value;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if (lane < half) {
            sh_sums[lane] += sh_sums[lane + half];
        }
        workgroupBarrier();
    }
    let sum = sh_sums[0];
    workgroupBarrier();
    return sum;
}
