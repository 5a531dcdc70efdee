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
    dx[index] = dy[index] * vec4<f32>(gelu_slope(v.x), gelu_slope(v.y), gelu_slope(v.z), gelu_slope(v.w));
#else
    dx[index] = dy[index] * gelu_slope(v);
#end
}
