// A value that is not stored yet, stored: y = act(act_0(norm_0(x_0)) + act_1(norm_1(x_1))), or the first alone.
//   x_0, x_1, y  (channels, voxels), counted in values
//   norm_s       (channels) of (mean, 1/std, scale, shift)      slopes_s  (1) or (C)
#import index
#import runs
#import values

struct Params { channels: u32, values: u32, own: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<Value>;
#import value 0
#if SECOND
@group(0) @binding(#) var<storage, read> x_1: array<Value>;
#import value 1
#import sum
#end
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
    let channel = row % params.own;
    let f_0 = factors_0(row, channel);
#if SECOND
    let f_1 = factors_1(row, channel);
    let slope = slope_2(channel);
#end
    let first = group % tiles * 512u;
    let end = run_end(first, lane, 8u, params.values);
    for (var i = run_start(first, lane, 8u); i < end; i += RUN) {
        let at = row * params.values + i;
#if SECOND
        y[at] = whole(values_0(x_0[at], f_0) + values_1(x_1[at], f_1), slope);
#else
        y[at] = values_0(x_0[at], f_0);
#end
    }
}
