// The network's last layers in one: the end of the last block, the 1x1x1 output convolution, and either the logits or
// their weighted sum over windows.
//   a = leaky_relu(norm(u) + r), r absent, plain or normalised too      logits[k] = b[k] + sum over c of w[k, c] a[c]
//   u, r        (N, C, X, Y, Z)
//   norm_u, norm_r  (N, C) of (mean, 1/std, scale, shift)
//   w           [C][K padded to 4]          b  (K)
//   y           (N, K, X, Y, Z)
// Accumulating, for the classes from first_class on:
//   axes        window weights along X, then Y, then Z
//   acc         (classes of this part, RX, VY, VZ), a ring along X over the whole volume; acc += weight * logits
// One invocation holds one voxel and 4 QUADS classes.
#import index
#import activation
#import weights

struct Params {
    samples: u32, channels: u32, k: u32, first_quad: u32,
    x: u32, y: u32, z: u32, floor: f32,
    start_x: u32, start_y: u32, start_z: u32, ring: u32,
    volume_y: u32, volume_z: u32, classes: u32, first_class: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> u: array<f32>;
@group(0) @binding(#) var<storage, read> norm_u: array<vec4<f32>>;
#if RESIDUAL
@group(0) @binding(#) var<storage, read> r: array<f32>;
#end
#if NORM_R
@group(0) @binding(#) var<storage, read> norm_r: array<vec4<f32>>;
#end
@group(0) @binding(#) var<storage, read> w: array<Weight>;
@group(0) @binding(#) var<storage, read> b: array<f32>;
#if ACCUMULATE
@group(0) @binding(#) var<storage, read> axes: array<f32>;
@group(0) @binding(#) var<storage, read_write> acc: array<f32>;
#else
@group(0) @binding(#) var<storage, read_write> y: array<f32>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let voxels = params.x * params.y * params.z;
    let voxel = index % voxels;
    let n = index / voxels;
    if (n >= params.samples) {
        return;
    }
    let k4 = (params.k + 3u) / 4u;
#unroll o in 0..QUADS
    let q_$o = min(params.first_quad + $ou, k4 - 1u);
    var sum_$o = vec4<f32>();
#end
    for (var c = 0u; c < params.channels; c += 1u) {
        let channel = n * params.channels + c;
        let norm = norm_u[channel];
        var a = fma(u[channel * voxels + voxel], norm.z, norm.w);
#if RESIDUAL
#if NORM_R
        a += fma(r[channel * voxels + voxel], norm_r[channel].z, norm_r[channel].w);
#else
        a += r[channel * voxels + voxel];
#end
#end
        a = leaky_relu(a);
#unroll o in 0..QUADS
        sum_$o = fma(vec4<f32>(a), weight4(c * k4 + q_$o), sum_$o);
#end
    }
#if ACCUMULATE
    let vx = voxel / params.z / params.y;
    let vy = voxel / params.z % params.y;
    let vz = voxel % params.z;
    let weight = max(axes[vx] * axes[params.x + vy] * axes[params.x + params.y + vz], params.floor);
    let plane = params.volume_y * params.volume_z;
    let at = (params.start_x + vx) % params.ring * plane + (params.start_y + vy) * params.volume_z + params.start_z + vz;
#end
#unroll o in 0..QUADS
#unroll j in 0..4
    {
        // Classes before the first wrap around to large numbers and are dropped too.
        let k = (params.first_quad + $ou) * 4u + $ju;
        let part = k - params.first_class;
        if (part < params.classes && k < params.k) {
#if ACCUMULATE
            acc[part * params.ring * plane + at] += weight * (sum_$o[$j] + b[k]);
#else
            y[(n * params.k + k) * voxels + voxel] = sum_$o[$j] + b[k];
#end
        }
    }
#end
#end
}
