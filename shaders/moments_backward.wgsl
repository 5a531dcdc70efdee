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
    // A group stays within one channel.
    let tiles = (params.voxels + 511u) / 512u;
    let group = flat_group(wid, counts);
    let channel = group / tiles;
    if (channel >= params.channels) {
        return;
    }
    let spread = dmoments[channel] / f32(params.voxels);
    let mean = moments[channel].x;
    let first = group % tiles * 512u + lane;
#unroll i in 0..8
    {
        let voxel = first + $iu * 64u;
        if (voxel < params.voxels) {
            let at = channel * params.voxels + voxel;
            let v = fma(2.0 * spread.y, y[at] - mean, spread.x);
#if DIRECT
            dx[at] = dy[at] + v;
#else
            dx[at] = v;
#end
        }
    }
#end
}
