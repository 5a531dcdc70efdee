// dx = dy gelu'(x), gelu'(x) = (1 + erf(x / sqrt 2)) / 2 + x exp(-x^2 / 2) / sqrt(2 pi)
//   dy, x, dx  (count), counted in values
#import index
#import activation
#import values

struct Params { count: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<Value>;
@group(0) @binding(#) var<storage, read> x: array<Value>;
@group(0) @binding(#) var<storage, read_write> dx: array<Value>;

fn slope(x: f32) -> f32 {
    // The density is zero in f32 beyond 14; its argument must not overflow.
    let c = clamp(x, -14.0, 14.0);
    return fma(c * 0.39894228, exp(-0.5 * c * c), 0.5 + 0.5 * erf(x * 0.70710678));
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.count) {
        return;
    }
    let v = x[index];
#if WIDE
    dx[index] = dy[index] * vec4<f32>(slope(v.x), slope(v.y), slope(v.z), slope(v.w));
#else
    dx[index] = dy[index] * slope(v);
#end
}
