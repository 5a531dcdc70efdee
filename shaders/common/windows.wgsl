// Attention in windows: what all of its kernels bind first, and how they read a head's rows.
//   places  (windows, tokens), from window_places
//   qkv     (N, cells, 3 heads d), a row [q | k | v], each (heads, d)
//   table   (distances, heads)
//   b       (3 heads d), if BIAS: the row of a token of the padding, else zeros
struct Params {
    samples: u32, windows: u32, tokens: u32, cells: u32, heads: u32, d: u32, middle: u32,
    scale: f32, rate: f32, seed: u32,
    full_x: u32, full_y: u32, full_z: u32, span: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> places: array<vec2<u32>>;
#if SCALAR
@group(0) @binding(#) var<storage, read> qkv: array<f32>;
#else
@group(0) @binding(#) var<storage, read> qkv: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> table: array<f32>;
#if BIAS
#if SCALAR
@group(0) @binding(#) var<storage, read> b: array<f32>;
#else
@group(0) @binding(#) var<storage, read> b: array<vec4<f32>>;
#end
#end

// Four values from `i` on of a part of a token's row that starts at element `at`; zeros beyond the head's end.
#if SCALAR
fn load(n: u32, cell: u32, at: u32, i: u32) -> vec4<f32> {
    let last = params.d - 1u;
    let k = vec4<u32>(i, i + 1u, i + 2u, i + 3u);
    let place = vec4<u32>(at) + min(k, vec4<u32>(last));
    var v = vec4<f32>();
    if (cell < params.cells) {
        let row = (n * params.cells + cell) * 3u * params.heads * params.d;
        v = vec4<f32>(qkv[row + place.x], qkv[row + place.y], qkv[row + place.z], qkv[row + place.w]);
    } else {
#if BIAS
        v = vec4<f32>(b[place.x], b[place.y], b[place.z], b[place.w]);
#end
    }
    return select(vec4<f32>(), v, k <= vec4<u32>(last));
}
#else
fn load(n: u32, cell: u32, at: u32, i: u32) -> vec4<f32> {
    if (cell < params.cells) {
        return qkv[((n * params.cells + cell) * 3u * params.heads * params.d + at + i) / 4u];
    }
#if BIAS
    return b[(at + i) / 4u];
#else
    return vec4<f32>();
#end
}
#end

// What is added to a pair's score; `query` and `key` are the second halves of their places.
fn pair_bias(query: u32, key: u32, head: u32) -> f32 {
    let distance = query / 32u + params.middle - key / 32u;
    return table[distance * params.heads + head] + select(0.0, -100.0, (query ^ key) % 32u != 0u);
}
