// A value times a gate that its channels share: y[n, c, p] = act_0(norm_0(x_0))[n, c, p] act_1(norm_1(x_1))[n, p].
//   x_0, y    (channels of all samples, voxels), counted in values      x_1  (samples, voxels)
//   norm_0    (channels of all samples)      norm_1  (samples), each of (mean, 1/std, scale, shift)
#import index
#import runs
#import values

struct Params { channels: u32, values: u32, own: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<Value>;
#import value 0
@group(0) @binding(#) var<storage, read> x_1: array<Value>;
#import value 1
@group(0) @binding(#) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // A group stays within one channel.
    let tiles = (params.values + 511u) / 512u;
    let group = flat_group(wid, counts);
    let row = group / tiles;
    if (row >= params.channels) {
        return;
    }
    let sample = row / params.own;
    let f_0 = factors_0(row, row % params.own);
    let f_1 = factors_1(sample, 0u);
    let first = group % tiles * 512u;
    let end = run_end(first, lane, 8u, params.values);
    for (var i = run_start(first, lane, 8u); i < end; i += RUN) {
        let at = row * params.values + i;
        y[at] = values_0(x_0[at], f_0) * values_1(x_1[sample * params.values + i], f_1);
    }
}
