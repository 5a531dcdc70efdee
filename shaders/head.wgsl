// The network's last layers in one: the end of the last block, the 1x1x1 output convolution, and either the logits or
// their weighted sum over windows.
//   a = act(act_0(norm_0(x_0)) + act_1(norm_1(x_1))) or the first alone      logits[k] = b[k] + sum over c of w[k, c] a[c]
//   x_0, x_1    (N, C, X, Y, Z), counted in values
//   w           [C][K padded to 4]          b  (K)
//   y           (N, K, X, Y, Z)
// Accumulating, for the classes from first_class on:
//   axes        window weights along X, then Y, then Z
//   acc         (classes of this part, RX, RY, RZ), a ring along one axis over the whole volume; acc += weight * logits
//   mirrored    a bit for each axis along which the network saw the window mirrored
//   BIAS        0 where another part of the channels adds it
// One invocation holds SPAN values of WIDTH voxels each and 4 QUADS classes.
#import index
#import runs
#import values
#import weights

struct Params {
    samples: u32, channels: u32, k: u32, first_quad: u32,
    x: u32, y: u32, z: u32, floor: f32,
    start_x: u32, start_y: u32, start_z: u32, ring: u32,
    volume_y: u32, volume_z: u32, classes: u32, first_class: u32,
    mirrored: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x_0: array<Value>;
#import value 0
#if SECOND
@group(0) @binding(#) var<storage, read> x_1: array<Value>;
#import value 1
#import sum
#end
@group(0) @binding(#) var<storage, read> w: array<Weight>;
@group(0) @binding(#) var<storage, read> b: array<f32>;
#if ACCUMULATE
#import mirror
#import stitching
@group(0) @binding(#) var<storage, read> axes: array<f32>;
@group(0) @binding(#) var<storage, read_write> acc: array<f32>;
#else
@group(0) @binding(#) var<storage, read_write> y: array<Value>;
#end

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let values = params.x * params.y * params.z / WIDTH;
    let tiles = (values + 64u * SPAN - 1u) / (64u * SPAN);
    let group = flat_group(wid, counts);
    let n = group / tiles;
    if (n >= params.samples) {
        return;
    }
    // Values beyond the end repeat the last and are not stored.
    let first = run_start(group % tiles * 64u * SPAN, lane, SPAN);
#unroll i in 0..SPAN
    let at_$i = min(first + $iu * RUN, values - 1u);
#end
    let k4 = (params.k + 3u) / 4u;
#unroll o in 0..QUADS
    let q_$o = min(params.first_quad + $ou, k4 - 1u);
#unroll i in 0..SPAN
#unroll v in 0..WIDTH
    var sum_$i_$v_$o = vec4<f32>();
#end
#end
#end
    for (var c = 0u; c < params.channels; c += 1u) {
        let channel = n * params.channels + c;
        let f_0 = factors_0(channel, c);
#if SECOND
        let f_1 = factors_1(channel, c);
        let slope = slope_2(c);
#end
#unroll i in 0..SPAN
#if SECOND
        let a_$i = whole(values_0(x_0[channel * values + at_$i], f_0) + values_1(x_1[channel * values + at_$i], f_1), slope);
#else
        let a_$i = values_0(x_0[channel * values + at_$i], f_0);
#end
#unroll v in 0..WIDTH
#if WIDE
        let a_$i_$v = vec4<f32>(a_$i[$v]);
#else
        let a_$i_$v = vec4<f32>(a_$i);
#end
#end
#end
#unroll o in 0..QUADS
        {
            let weights = weight4(c * k4 + q_$o);
#unroll i in 0..SPAN
#unroll v in 0..WIDTH
            sum_$i_$v_$o = fma(a_$i_$v, weights, sum_$i_$v_$o);
#end
#end
        }
#end
    }
#unroll i in 0..SPAN
    if (first + $iu * RUN < values) {
#if ACCUMULATE
        let plane = params.volume_y * params.volume_z;
#unroll v in 0..WIDTH
        let voxel_$v = mirrored_voxel(at_$i * WIDTH + $vu);
        let weight_$v = window_weight(voxel_$v);
        let to_$v = ring_place(voxel_$v);
#end
#end
#unroll o in 0..QUADS
#unroll j in 0..4
        {
            // Classes before the first wrap around to large numbers and are dropped too.
            let k = (params.first_quad + $ou) * 4u + $ju;
            let part = k - params.first_class;
            if ((part < params.classes) & (k < params.k)) {
#if ACCUMULATE
#unroll v in 0..WIDTH
                                acc[part * params.ring * plane + to_$v] += weight_$v * (sum_$i_$v_$o[$j] + f32(BIAS) * b[k]);
#end
#else
#if WIDE
                y[(n * params.k + k) * values + at_$i] = vec4<f32>(sum_$i_0_$o[$j], sum_$i_1_$o[$j], sum_$i_2_$o[$j], sum_$i_3_$o[$j]) + b[k];
#else
                y[(n * params.k + k) * values + at_$i] = sum_$i_0_$o[$j] + b[k];
#end
#end
            }
        }
#end
#end
    }
#end
}
