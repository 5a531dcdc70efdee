// What the gradients of attention within windows bind behind the attention's own, and how they read a query's gradient.
//   dout        (N, cells, heads d)
//   statistics  (N, heads, cells) of (lse, delta)
#import windows
#if SCALAR
@group(0) @binding(#) var<storage, read> dout: array<f32>;
#else
@group(0) @binding(#) var<storage, read> dout: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> statistics: array<vec2<f32>>;
#if DROPOUT
#import mask
@group(0) @binding(#) var<storage, read> step_number: array<f32>;
#end

// Four values of a head's row that starts at element `row`; zeros beyond its end.
#if SCALAR
fn load_dout(row: u32, i: u32) -> vec4<f32> {
    let last = params.d - 1u;
    let k = vec4<u32>(i, i + 1u, i + 2u, i + 3u);
    let at = vec4<u32>(row) + min(k, vec4<u32>(last));
    return select(vec4<f32>(), vec4<f32>(dout[at.x], dout[at.y], dout[at.z], dout[at.w]), k <= vec4<u32>(last));
}
#else
fn load_dout(row: u32, i: u32) -> vec4<f32> {
    return dout[(row + i) / 4u];
}
#end
