// Gradients of y = leaky_relu(norm(u) + r): the first stage writes du and dr and sums per channel and part, the second
// (MERGE) adds the parts in order. Sums are gradients of a norm's factor and offset: of dt x_hat, and of dt.
//   dy, u, r, du, dr  (channels, voxels), counted in values
//   norm_u, norm_r    (channels) of (mean, 1/std, scale, shift)
//   partials          (channels, parts) of (sum dt, sum dt u_hat, sum dt r_hat)
//   sums_u, sums_r    (channels) of (sum dt x_hat, sum dt)
#import index
#import activation
#import runs
#import values

struct Params { channels: u32, values: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> sums_u: array<vec2<f32>>;
#if NORM_R
@group(0) @binding(#) var<storage, read_write> sums_r: array<vec2<f32>>;
#end
#else
@group(0) @binding(#) var<storage, read> dy: array<Value>;
@group(0) @binding(#) var<storage, read> u: array<Value>;
@group(0) @binding(#) var<storage, read> norm_u: array<vec4<f32>>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read> r: array<Value>;
#end
#if NORM_R
@group(0) @binding(#) var<storage, read> norm_r: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> du: array<Value>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read_write> dr: array<Value>;
#end
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
#if MERGE
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.channels) {
        return;
    }
    var sum = vec4<f32>();
    for (var i = 0u; i < params.parts; i += 1u) {
        sum += partials[index * params.parts + i];
    }
    sums_u[index] = sum.yx;
#if NORM_R
    sums_r[index] = sum.zx;
#end
#else
    // A group takes 64 parts of one channel.
    let group = flat_group(wid, counts);
    let blocks = params.parts / 64u;
    let channel = group / blocks;
    if (channel >= params.channels) {
        return;
    }
    let block = group % blocks;
    let steps = (params.values + params.parts - 1u) / params.parts;
    let first = block * 64u * steps;
    let end = run_end(first, lane, steps, params.values);
    let nu = norm_u[channel];
#if NORM_R
    let nr = norm_r[channel];
#end
    var dt_sum = Value();
    var u_sum = Value();
#if NORM_R
    var r_sum = Value();
#end
    for (var i = run_start(first, lane, steps); i < end; i += RUN) {
        let at = channel * params.values + i;
        let a = u[at];
        var v = fma(a, Value(nu.z), Value(nu.w));
#if RESIDUAL
        let b = r[at];
#if NORM_R
        v += fma(b, Value(nr.z), Value(nr.w));
#else
        v += b;
#end
#end
        let dt = dy[at] * select(Value(SLOPE), Value(1.0), v > Value());
        dt_sum += dt;
        u_sum = fma(dt, (a - Value(nu.x)) * nu.y, u_sum);
        du[at] = dt * nu.z;
#if RESIDUAL
#if NORM_R
        r_sum = fma(dt, (b - Value(nr.x)) * nr.y, r_sum);
        dr[at] = dt * nr.z;
#else
        dr[at] = dt;
#end
#end
    }
    var sum = vec4<f32>(total(dt_sum), total(u_sum), 0.0, 0.0);
#if NORM_R
    sum.z = total(r_sum);
#end
    partials[channel * params.parts + block * 64u + lane] = sum;
#end
}
