// 2x2x2 transposed convolution, stride 2: outputs do not overlap.
//   y[n, k, 2i+a, 2j+b, 2l+c] = sum over channels of act(norm(x))[n, channel, i, j, l] w[channel, k, a, b, c] + bias[k]
//   x_0  (N, C, X, Y, Z)      w  (C, K, 2, 2, 2)      y  (N, K, 2X, 2Y, 2Z)
// One invocation holds 4 input voxels x 2 output channels x 8 phases.
#import index
#import weights

struct Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<f32>;
#import term 0
@group(0) @binding(#) var<storage, read> w: array<Weight>;
#if BIAS
@group(0) @binding(#) var<storage, read> b: array<f32>;
#end
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

fn store(n: u32, k: u32, voxel: u32, near: vec4<f32>, far: vec4<f32>) {
    if ((voxel >= params.x * params.y * params.z) | (k >= params.k)) {
        return;
    }
    let i = voxel / params.z / params.y;
    let j = voxel / params.z % params.y;
    let l = voxel % params.z;
    let row = 2u * params.z;
    let plane = 2u * params.y * row;
    let at = ((n * params.k + k) * 2u * params.x + 2u * i) * plane + 2u * j * row + 2u * l;
    y[at] = near.x;
    y[at + 1u] = near.y;
    y[at + row] = near.z;
    y[at + row + 1u] = near.w;
    y[at + plane] = far.x;
    y[at + plane + 1u] = far.y;
    y[at + plane + row] = far.z;
    y[at + plane + row + 1u] = far.w;
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let voxels = params.x * params.y * params.z;
    let tiles = (voxels + 3u) / 4u;
    let pairs = (params.k + 1u) / 2u;
    let index = flat_group(wid, counts) * 64u + lane;
    let voxel = index % tiles * 4u;
    let k = index / tiles % pairs * 2u;
    let n = index / tiles / pairs;
    if (n >= params.samples) {
        return;
    }
    let other = min(k + 1u, params.k - 1u);
#if BIAS
    let b_0 = vec4<f32>(b[k]);
    let b_1 = vec4<f32>(b[other]);
#else
    let b_0 = vec4<f32>();
    let b_1 = vec4<f32>();
#end
#unroll v in 0..4
    let at_$v = min(voxel + $vu, voxels - 1u);
#unroll o in 0..2
    var near_$v_$o = b_$o;
    var far_$v_$o = b_$o;
#end
#end
    for (var c = 0u; c < params.channels; c += 1u) {
        let channel = (n * params.channels + c) * voxels;
        let f = factors_0(n * params.channels + c, c);
        let w_0 = (c * params.k + k) * 2u;
        let w_1 = (c * params.k + other) * 2u;
#unroll v in 0..4
        let a_$v = vec4<f32>(value_0(x_0[channel + at_$v], f));
#end
#unroll o in 0..2
        let near_$o = weight4(w_$o);
        let far_$o = weight4(w_$o + 1u);
#unroll v in 0..4
        near_$v_$o = fma(a_$v, near_$o, near_$v_$o);
        far_$v_$o = fma(a_$v, far_$o, far_$v_$o);
#end
#end
    }
#unroll v in 0..4
    store(n, k, voxel + $vu, near_$v_0, far_$v_0);
    store(n, k + 1u, voxel + $vu, near_$v_1, far_$v_1);
#end
}
