// A convolution's weights in another order: y[offset + (r, t, o)] = w[first + o out + r rows + t taps], with FLIP the last tap
// first. One invocation moves all taps of a pair of channels.
//   w  in any order
//   y  [rows][tap][columns padded to 4], padding is zero; with UNPACK the other way about, from y's order to w's
#import index
#import weights

struct Params { rows: u32, columns: u32, first: u32, offset: u32, row: u32, column: u32, tap: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> w: array<Weight>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let padded = (params.columns + 3u) / 4u * 4u;
    let column = index % padded;
    let row = index / padded;
    if (row >= params.rows) {
        return;
    }
    let inside = column < params.columns;
    let natural = params.first + row * params.row + min(column, params.columns - 1u) * params.column;
    let packed = params.offset + row * TAPS * padded + column;
    for (var t = 0u; t < TAPS; t += 1u) {
#if FLIP
        let s = TAPS - 1u - t;
#else
        let s = t;
#end
#if UNPACK
        if (inside) {
            y[natural + s * params.tap] = weight(packed + t * padded);
        }
#else
        y[packed + t * padded] = select(0.0, weight(natural + s * params.tap), inside);
#end
    }
}
