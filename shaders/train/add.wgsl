// y = x_0 + x_1 + ...
//   x_i, y  (count), counted in values; one invocation adds four
#import index
#import runs
#import values

struct Params { count: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#unroll t in 0..TERMS
@group(0) @binding(#) var<storage, read> x_$t: array<Value>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<Value>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let first = flat_group(wid, counts) * 256u;
    let end = run_end(first, lane, 4u, params.count);
    for (var at = run_start(first, lane, 4u); at < end; at += RUN) {
        var sum = Value();
#unroll t in 0..TERMS
        sum += x_$t[at];
#end
        y[at] = sum;
    }
}
