// A convolution's weights as its gradient with respect to one source needs them: channels swapped, taps reversed.
//   y[offset + (k, TAPS - 1 - t, c)] = w[(first + c, t, k)]
// One invocation moves all taps of a pair of channels.
//   w  [C][tap][K padded to 4]
//   y  [K][tap][channels padded to 4], padding is zero
#import index

struct Params { k: u32, channels: u32, first: u32, offset: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> w: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let padded = (params.channels + 3u) / 4u * 4u;
    let c = index % padded;
    let k = index / padded;
    if (k >= params.k) {
        return;
    }
    let row = (params.k + 3u) / 4u * 4u;
    let source = (params.first + min(c, params.channels - 1u)) * TAPS * row + k;
    let to = params.offset + k * TAPS * padded + c;
    let inside = c < params.channels;
#unroll t in 0..TAPS
    y[to + (TAPS - 1u - $tu) * padded] = select(0.0, w[source + $tu * row], inside);
#end
}
