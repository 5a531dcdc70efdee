// What the moments of y add to its gradient: dx = dy + dmean / V + 2 dvar (y - mean) / V.
//   y, dy, dx          (channels, voxels), counted in values
//   moments, dmoments  (channels) of (mean, variance)
#import index
#import runs
#import values

struct Params { channels: u32, values: u32, share: f32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> y: array<Value>;
@group(0) @binding(#) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read> dmoments: array<vec2<f32>>;
#if DIRECT
@group(0) @binding(#) var<storage, read> dy: array<Value>;
#end
@group(0) @binding(#) var<storage, read_write> dx: array<Value>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // A group stays within one channel.
    let tiles = (params.values + 511u) / 512u;
    let group = flat_group(wid, counts);
    let channel = group / tiles;
    if (channel >= params.channels) {
        return;
    }
    let spread = dmoments[channel] * params.share;
    let mean = Value(moments[channel].x);
    let first = group % tiles * 512u;
    let end = run_end(first, lane, 8u, params.values);
    for (var i = run_start(first, lane, 8u); i < end; i += RUN) {
        let at = channel * params.values + i;
        let v = fma(Value(2.0 * spread.y), y[at] - mean, Value(spread.x));
#if DIRECT
        dx[at] = dy[at] + v;
#else
        dx[at] = v;
#end
    }
}
