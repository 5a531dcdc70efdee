// Gradients of y = act(act_0(norm_0(x_0)) + act_1(norm_1(x_1))) or of y = act_0(norm_0(x_0)): the first stage writes those of
// the values and sums per channel and part, the second (MERGE) adds the parts in order. Of the sum with OUTER only that
// of the argument of act; without it its terms have no activation of their own.
//   dy, x_s, dx_s  (channels, voxels), counted in values
//   norm_s         (channels) of (mean, 1/std, scale, shift)      slopes_s  (1) or (C)
//   partials       (channels, parts) of (sum dt, sum dt x_hat_0, sum dt x_hat_1, sum of a trained slope's gradient)
//   sums_s         (channels) of (sum dt x_hat, sum dt): gradients of a norm's factor and offset
//   dslopes        (channels)
#import index
#import runs
#import values

struct Params { channels: u32, values: u32, parts: u32, own: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if MERGE
@group(0) @binding(#) var<storage, read> partials: array<vec4<f32>>;
#if SUMS_0
@group(0) @binding(#) var<storage, read_write> sums_0: array<vec2<f32>>;
#end
#if SUMS_1
@group(0) @binding(#) var<storage, read_write> sums_1: array<vec2<f32>>;
#end
#if SLOPES
@group(0) @binding(#) var<storage, read_write> dslopes: array<f32>;
#end
#else
@group(0) @binding(#) var<storage, read> dy: array<Value>;
@group(0) @binding(#) var<storage, read> x_0: array<Value>;
#import value 0
#if SECOND
@group(0) @binding(#) var<storage, read> x_1: array<Value>;
#import value 1
#import act_slope 2
#else
#import act_slope 0
#end
#if STATISTICS
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read_write> dx_0: array<Value>;
#if DX_1
@group(0) @binding(#) var<storage, read_write> dx_1: array<Value>;
#end

// The argument of the activation, its derivative, and that of its value with respect to the slope.
#if WIDE
fn slope_at(v: Value, slope: f32) -> Value {
#if SECOND
    return vec4<f32>(act_slope_2(v.x, slope), act_slope_2(v.y, slope), act_slope_2(v.z, slope), act_slope_2(v.w, slope));
#else
    return vec4<f32>(act_slope_0(v.x, slope), act_slope_0(v.y, slope), act_slope_0(v.z, slope), act_slope_0(v.w, slope));
#end
}
#if !SECOND
fn argument(x: Value, f: vec3<f32>) -> Value {
    return normed4_0(x, f);
}
#end
#else
fn slope_at(v: Value, slope: f32) -> Value {
#if SECOND
    return act_slope_2(v, slope);
#else
    return act_slope_0(v, slope);
#end
}
#if !SECOND
fn argument(x: Value, f: vec3<f32>) -> Value {
    return normed_0(x, f);
}
#end
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
#if SUMS_0
    sums_0[index] = sum.yx;
#end
#if SUMS_1
    sums_1[index] = sum.zx;
#end
#if SLOPES
    dslopes[index] = sum.w;
#end
#else
    // A group takes 64 parts of one channel.
    let group = flat_group(wid, counts);
    let blocks = params.parts / 64u;
    let row = group / blocks;
    if (row >= params.channels) {
        return;
    }
    let block = group % blocks;
    let steps = (params.values + params.parts - 1u) / params.parts;
    let first = block * 64u * steps;
    let end = run_end(first, lane, steps, params.values);
    let channel = row % params.own;
    let f_0 = factors_0(row, channel);
#if SECOND
    let f_1 = factors_1(row, channel);
    let slope = slope_2(channel);
#else
    let slope = f_0.z;
#end
#if SUMS_0
    let n_0 = norm_0[row];
    var sum_0 = Value();
#end
#if SUMS_1
    let n_1 = norm_1[row];
    var sum_1 = Value();
#end
    var sum_t = Value();
    var sum_slope = Value();
    for (var i = run_start(first, lane, steps); i < end; i += RUN) {
        let at = row * params.values + i;
        let a = x_0[at];
#if SECOND
        let b = x_1[at];
        let v = values_0(a, f_0) + values_1(b, f_1);
#else
        let v = argument(a, f_0);
#end
        let d = dy[at];
        let dt = d * slope_at(v, slope);
        sum_t += dt;
#if SLOPES
        sum_slope = fma(d, select(v, Value(), v > Value()), sum_slope);
#end
#if SUMS_0
        sum_0 = fma(dt, (a - Value(n_0.x)) * n_0.y, sum_0);
#end
#if OUTER
        dx_0[at] = dt;
#else
#if NORM_0
        dx_0[at] = dt * f_0.x;
#else
        dx_0[at] = dt;
#end
#end
#if DX_1
#if NORM_1
        sum_1 = fma(dt, (b - Value(n_1.x)) * n_1.y, sum_1);
        dx_1[at] = dt * f_1.x;
#else
        dx_1[at] = dt;
#end
#end
    }
#if STATISTICS
    var sum = vec4<f32>(total(sum_t), 0.0, 0.0, total(sum_slope));
#if SUMS_0
    sum.y = total(sum_0);
#end
#if SUMS_1
    sum.z = total(sum_1);
#end
    partials[row * params.parts + block * 64u + lane] = sum;
#end
#end
}
