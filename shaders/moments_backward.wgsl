// What the moments of y add to its gradient: dx = dy + dmean / V + 2 dvar (y - mean) / V.
//   y, dy, dx          (channels, voxels)
//   moments, dmoments  (channels) of (mean, variance)
#import index

struct Params { channels: u32, voxels: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> y: array<f32>;
@group(0) @binding(#) var<storage, read> moments: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read> dmoments: array<vec2<f32>>;
#if DIRECT
@group(0) @binding(#) var<storage, read> dy: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.channels * params.voxels) {
        return;
    }
    let channel = index / params.voxels;
    let d = dmoments[channel];
    var v = fma(2.0 * d.y, y[index] - moments[channel].x, d.x) / f32(params.voxels);
#if DIRECT
    v += dy[index];
#end
    dx[index] = v;
}
