// 2x2x2 transposed convolution, stride 2: outputs do not overlap; with workgroup memory.
//   y[n, k, 2i+a, 2j+b, 2l+c] = sum over channels of act(norm(x))[n, channel, i, j, l] w[channel, k, a, b, c] + bias[k]
//   x_0  (N, C, X, Y, Z)      w  (C, K, 2, 2, 2)      y  (N, K, 2X, 2Y, 2Z)
// A matrix product of voxels x (output channel, phase) over the channels, which is how both operands lie in memory.
// A group of 64 has 16 VOXELS voxels x 4 OUTPUTS output channels; an invocation has VOXELS voxels, 16 apart, of OUTPUTS
// channels in all 8 phases. Neighbouring lanes have neighbouring voxels and store two phases at once: unbroken rows.
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
@group(0) @binding(#) var<storage, read_write> y: array<vec2<f32>>;

// Channels staged at a time.
const DEPTH = 16u;
const WIDTH = 16u * VOXELS;
const GROUP_QUADS = 8u * OUTPUTS;

var<workgroup> sh_x: array<f32, DEPTH * WIDTH>;
var<workgroup> sh_w: array<vec4<f32>, DEPTH * GROUP_QUADS>;

fn store(n: u32, k: u32, voxel: u32, near: vec4<f32>, far: vec4<f32>) {
    if ((voxel >= params.x * params.y * params.z) | (k >= params.k)) {
        return;
    }
    let i = voxel / params.z / params.y;
    let j = voxel / params.z % params.y;
    let l = voxel % params.z;
    // In pairs along Z.
    let row = params.z;
    let plane = 2u * params.y * row;
    let at = ((n * params.k + k) * 2u * params.x + 2u * i) * plane + 2u * j * row + l;
    y[at] = near.xy;
    y[at + row] = near.zw;
    y[at + plane] = far.xy;
    y[at + plane + row] = far.zw;
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let voxels = params.x * params.y * params.z;
    let tiles = (voxels + WIDTH - 1u) / WIDTH;
    let blocks = (params.k + 4u * OUTPUTS - 1u) / (4u * OUTPUTS);
    // Groups that run together share the voxels they read.
    let group = flat_group(wid, counts);
    let k = group % blocks * 4u * OUTPUTS;
    let voxel = group / blocks % tiles * WIDTH;
    let n = group / blocks / tiles;
    if (n >= params.samples) {
        return;
    }
    let lane_voxel = lane % 16u;
    let lane_k = lane / 16u * OUTPUTS;
#unroll o in 0..OUTPUTS
#if BIAS
    let b_$o = vec4<f32>(b[min(k + lane_k + $ou, params.k - 1u)]);
#else
    let b_$o = vec4<f32>();
#end
#unroll v in 0..VOXELS
    var near_$v_$o = b_$o;
    var far_$v_$o = b_$o;
#end
#end
    for (var first = 0u; first < params.channels; first += DEPTH) {
        let depth = min(DEPTH, params.channels - first);
        workgroupBarrier();
        // Several loads at once. Voxels and output channels beyond the last repeat it and are not stored.
        for (var i = lane; i < depth * WIDTH; i += 512u) {
#unroll u in 0..8
            let at_$u = min(i + $uu * 64u, depth * WIDTH - 1u);
            let own_$u = first + at_$u / WIDTH;
            let row_$u = n * params.channels + own_$u;
            let staged_$u = value_0(x_0[row_$u * voxels + min(voxel + at_$u % WIDTH, voxels - 1u)], factors_0(row_$u, own_$u));
#end
#unroll u in 0..8
            if (i + $uu * 64u < depth * WIDTH) {
                sh_x[i + $uu * 64u] = staged_$u;
            }
#end
        }
        for (var i = lane; i < depth * GROUP_QUADS; i += 128u) {
#unroll u in 0..2
            let row_$u = (first + min((i + $uu * 64u) / GROUP_QUADS, depth - 1u)) * params.k * 2u;
            let w_$u = weight4(row_$u + min(k * 2u + (i + $uu * 64u) % GROUP_QUADS, params.k * 2u - 1u));
#end
#unroll u in 0..2
            if (i + $uu * 64u < depth * GROUP_QUADS) {
                sh_w[i + $uu * 64u] = w_$u;
            }
#end
        }
        workgroupBarrier();
        for (var c = 0u; c < depth; c += 1u) {
#unroll v in 0..VOXELS
            let a_$v = vec4<f32>(sh_x[c * WIDTH + lane_voxel + $vu * 16u]);
#end
#unroll o in 0..OUTPUTS
            {
                let near = sh_w[c * GROUP_QUADS + (lane_k + $ou) * 2u];
                let far = sh_w[c * GROUP_QUADS + (lane_k + $ou) * 2u + 1u];
#unroll v in 0..VOXELS
                near_$v_$o = fma(a_$v, near, near_$v_$o);
                far_$v_$o = fma(a_$v, far, far_$v_$o);
#end
            }
#end
        }
    }
#unroll o in 0..OUTPUTS
#unroll v in 0..VOXELS
    store(n, k + lane_k + $ou, voxel + lane_voxel + $vu * 16u, near_$v_$o, far_$v_$o);
#end
#end
}
