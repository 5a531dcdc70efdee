// How a row of values is shared: one invocation takes it all, or, SHARED, a group of 64 takes turns. Barriers are slow on
// software adapters. An invocation of the row starts at `row_start` and goes on by ROW_STEP.
#if SHARED
const ROW_STEP: u32 = 64u;
var<workgroup> sh_sums: array<f32, 64>;

// Groups of the grid's overhang repeat the last row, so that barriers stay uniform.
fn row_of(group: u32, lane: u32, rows: u32) -> u32 {
    return min(group, rows - 1u);
}

fn row_start(lane: u32) -> u32 {
    return lane;
}

// The sum over the row's invocations in a fixed tree.
fn row_sum(lane: u32, value: f32) -> f32 {
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
#else
const ROW_STEP: u32 = 1u;

// Beyond the last row in the last group.
fn row_of(group: u32, lane: u32, rows: u32) -> u32 {
    return group * 64u + lane;
}

fn row_start(lane: u32) -> u32 {
    return 0u;
}

fn row_sum(lane: u32, value: f32) -> f32 {
    return value;
}
#end
