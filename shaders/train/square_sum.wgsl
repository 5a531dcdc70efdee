// Sums of squares of several gradients, one for each invocation, into `places` elements of a table from `first_place` on, those
// of each gradient behind those of the one before. A sum is NaN if a value is not finite, by its bits.
//   x0, x1 ...  (count0), (count1) ..., counted in values
//   sums        (places of all gradients)
#import index
#import finite
#import runs
#import values

// `ends` are those of the places, from 0.
struct Params { counts: array<vec4<u32>, 2>, ends: array<vec4<u32>, 2>, first_place: u32, places: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#unroll t in 0..GRADIENTS
@group(0) @binding(#) var<storage, read> x$t: array<Value>;
#end
@group(0) @binding(#) var<storage, read_write> sums: array<u32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    // Each gradient has whole groups.
    if (index >= params.places) {
        return;
    }
    var sum = Value();
    var worst = 0u;
    var start = 0u;
#unroll t in 0..GRADIENTS
    let end$t = params.ends[$(t/4)][$(t%4)];
    if ((index >= start) & (index < end$t)) {
        let count = params.counts[$(t/4)][$(t%4)];
        let steps = (count + end$t - start - 1u) / (end$t - start);
        let first = (index - start) / 64u * 64u * steps;
        let end = run_end(first, lane, steps, count);
        for (var i = run_start(first, lane, steps); i < end; i += RUN) {
            let v = x$t[i];
#if WIDE
            worst = max(worst, exponent4(v));
#else
            worst = max(worst, exponent(v));
#end
            sum = fma(v, v, sum);
        }
    }
    start = end$t;
#end
    sums[params.first_place + index] = marked(total(sum), worst);
}
