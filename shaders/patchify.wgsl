// Cuts a volume into patches of side P, or (BACKWARD) puts them together: one row per token, token n = (ix gy + iy) gz + iz.
//   x  (N, C, X, Y, Z)
//   y  (N, tokens, C P^3), a row ordered (channel, a, b, c) or, for the perceptron embedding, (a, b, c, channel)
#import index
#import values

struct Params { samples: u32, channels: u32, x: u32, y: u32, z: u32, side: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if BACKWARD
@group(0) @binding(#) var<storage, read> y: array<Value>;
@group(0) @binding(#) var<storage, read_write> x: array<Value>;
#else
@group(0) @binding(#) var<storage, read> x: array<Value>;
@group(0) @binding(#) var<storage, read_write> y: array<Value>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let p = params.side;
    // Rows are counted in values; four neighbours along Z lie together in both.
    let width = params.channels * p * p * p / WIDTH;
    let gy = params.y / p;
    let gz = params.z / p;
    let tokens = params.x / p * gy * gz;
    if (index >= params.samples * tokens * width) {
        return;
    }
    let token = index / width % tokens;
    let n = index / width / tokens;
    let q = index % width * WIDTH;
#if CHANNEL_LAST
    let channel = q % params.channels;
    let offset = q / params.channels;
#else
    let channel = q / (p * p * p);
    let offset = q % (p * p * p);
#end
    let vx = token / gz / gy * p + offset / p / p;
    let vy = token / gz % gy * p + offset / p % p;
    let vz = token % gz * p + offset % p;
    let at = (((n * params.channels + channel) * params.x + vx) * params.y + vy) * params.z + vz;
#if BACKWARD
    x[at / WIDTH] = y[index];
#else
    y[index] = x[at / WIDTH];
#end
}
