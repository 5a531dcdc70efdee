// Joins the tokens of each 2 x 2 x 2 cell of a grid, y[n, p, (i, e)] = x[n, 2 p + o_i, e], or (BACKWARD) adds to each token what
// became of it, x[n, q, e] = sum over i with o_i = q mod 2 of y[n, q / 2, (i, e)].
//   x  (N, X Y Z, width)
//   y  (N, X/2 Y/2 Z/2, 8, width), all counted in values
// order: three bits for each i, of which 4 is a step along X, 2 along Y, 1 along Z.
#import index
#import values

struct Params { samples: u32, x: u32, y: u32, z: u32, width: u32, order: u32 }
@group(0) @binding(#) var<uniform> params: Params;
#if BACKWARD
@group(0) @binding(#) var<storage, read> y: array<Value>;
@group(0) @binding(#) var<storage, read_write> x: array<Value>;
#else
@group(0) @binding(#) var<storage, read> x: array<Value>;
@group(0) @binding(#) var<storage, read_write> y: array<Value>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let cells = params.x * params.y * params.z;
    if (index >= params.samples * cells * params.width) {
        return;
    }
    let e = index % params.width;
    let half = vec3<u32>(params.x, params.y, params.z) / 2u;
#if BACKWARD
    let token = index / params.width;
    let q = vec3<u32>(token / params.z / params.y % params.x, token / params.z % params.y, token % params.z);
    let p = q / 2u;
    let corner = (q.x % 2u) * 4u + (q.y % 2u) * 2u + q.z % 2u;
    let cell = ((token / cells * half.x + p.x) * half.y + p.y) * half.z + p.z;
    var sum = Value();
#unroll i in 0..8
    if ((params.order >> $(i*3)u) % 8u == corner) {
        sum += y[(cell * 8u + $iu) * params.width + e];
    }
#end
    x[index] = sum;
#else
    let i = index / params.width % 8u;
    let cell = index / params.width / 8u;
    let p = vec3<u32>(cell / half.z / half.y % half.x, cell / half.z % half.y, cell % half.z);
    let corner = (params.order >> (i * 3u)) % 8u;
    let q = 2u * p + vec3<u32>(corner / 4u, corner / 2u % 2u, corner % 2u);
    let n = cell / half.z / half.y / half.x;
    y[index] = x[(((n * params.x + q.x) * params.y + q.y) * params.z + q.z) * params.width + e];
#end
}
