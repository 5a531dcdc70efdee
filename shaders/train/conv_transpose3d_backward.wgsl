// Gradients of the 2x2x2 transposed convolution, stride 2.
//   dx[n, c, i, j, l] = sum over k, phases of dy[n, k, 2i+a, 2j+b, 2l+d] w[c, k, a, b, d]
//   dw[c, k, a, b, d] = sum over n, voxels of x[n, c, i, j, l] dy[n, k, 2i+a, 2j+b, 2l+d], first stage (WEIGHTS)
//   x, dx  (N, C, X, Y, Z)      w  (C, K, 2, 2, 2)      dy  (N, K, 2X, 2Y, 2Z)      partials  (parts, C, K, 8)
// One invocation holds 4 voxels x HELD channels, or for the weights HELD channels x 2 output channels x 8 phases.
#import index

struct Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<f32>;
#if WEIGHTS
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
#import phase_partials
#else
@group(0) @binding(#) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> dx: array<f32>;
#end

// First phase of a voxel within its channel of dy.
fn first_phase(voxel: u32) -> u32 {
    let i = voxel / params.z / params.y;
    let j = voxel / params.z % params.y;
    let l = voxel % params.z;
    return (2u * i * 2u * params.y + 2u * j) * 2u * params.z + 2u * l;
}

fn near(at: u32) -> vec4<f32> {
    let row = at + 2u * params.z;
    return vec4<f32>(dy[at], dy[at + 1u], dy[row], dy[row + 1u]);
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = params.x * params.y * params.z;
    let plane = 4u * params.y * params.z;
    let blocks = (params.channels + HELD - 1u) / HELD;
#if WEIGHTS
    let pairs = (params.k + 1u) / 2u;
    let k = index % pairs * 2u;
    let c = index / pairs % blocks * HELD;
    let part = index / pairs / blocks;
    if (part >= params.parts) {
        return;
    }
#unroll o in 0..2
    let k_$o = min(k + $ou, params.k - 1u);
#unroll i in 0..HELD
    var near_$i_$o = vec4<f32>();
    var far_$i_$o = vec4<f32>();
#end
#end
#unroll i in 0..HELD
    let c_$i = min(c + $iu, params.channels - 1u);
#end
    for (var at = part; at < params.samples * voxels; at += params.parts) {
        let n = at / voxels;
        let voxel = at % voxels;
        let phase = first_phase(voxel);
#unroll i in 0..HELD
        let a_$i = vec4<f32>(x[(n * params.channels + c_$i) * voxels + voxel]);
#end
#unroll o in 0..2
        let start_$o = (n * params.k + k_$o) * 8u * voxels + phase;
        let near_$o = near(start_$o);
        let far_$o = near(start_$o + plane);
#unroll i in 0..HELD
        near_$i_$o = fma(a_$i, near_$o, near_$i_$o);
        far_$i_$o = fma(a_$i, far_$o, far_$i_$o);
#end
#end
    }
#unroll i in 0..HELD
#unroll o in 0..2
    store(part, c + $iu, k + $ou, near_$i_$o, far_$i_$o);
#end
#end
#else
    let tiles = (voxels + 3u) / 4u;
    let voxel = index % tiles * 4u;
    let c = index / tiles % blocks * HELD;
    let n = index / tiles / blocks;
    if (n >= params.samples) {
        return;
    }
#unroll v in 0..4
    let at_$v = first_phase(min(voxel + $vu, voxels - 1u));
#unroll i in 0..HELD
    var sum_$v_$i = 0.0;
#end
#end
#unroll i in 0..HELD
    let w_$i = min(c + $iu, params.channels - 1u) * params.k * 2u;
#end
    for (var k = 0u; k < params.k; k += 1u) {
        let channel = (n * params.k + k) * 8u * voxels;
#unroll i in 0..HELD
        let wn_$i = w[w_$i + 2u * k];
        let wf_$i = w[w_$i + 2u * k + 1u];
#end
#unroll v in 0..4
        {
            let n4 = near(channel + at_$v);
            let f4 = near(channel + at_$v + plane);
#unroll i in 0..HELD
            sum_$v_$i += dot(n4, wn_$i) + dot(f4, wf_$i);
#end
        }
#end
    }
#unroll v in 0..4
#unroll i in 0..HELD
    if ((voxel + $vu < voxels) & (c + $iu < params.channels)) {
        dx[(n * params.channels + c + $iu) * voxels + voxel + $vu] = sum_$v_$i;
    }
#end
#end
#end
}
