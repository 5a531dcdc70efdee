// Gradients of the 2x2x2 transposed convolution, stride 2, of rows of whole blocks of four voxels: everything is loaded
// and stored four values at a time.
//   dx[n, c, i, j, l] = sum over k, phases of dy[n, k, 2i+a, 2j+b, 2l+d] w[c, k, a, b, d]
//   dw[c, k, a, b, d] = sum over n, voxels of x[n, c, i, j, l] dy[n, k, 2i+a, 2j+b, 2l+d], first stage (WEIGHTS)
//   x, dx  (N, C, X, Y, Z)      w  (C, K, 2, 2, 2)      dy  (N, K, 2X, 2Y, 2Z)      partials  (parts, C, K, 8)
// One invocation holds 8 voxels x HELD channels, or for the weights HELD channels x 2 output channels x 8 phases.
#import index

struct Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32, parts: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> dy: array<vec4<f32>>;
#if WEIGHTS
@group(0) @binding(#) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> partials: array<vec4<f32>>;
#import phase_partials
#else
@group(0) @binding(#) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(#) var<storage, read_write> dx: array<vec4<f32>>;
#end

// The phases of four neighbouring voxels, as their weights lie: first plane (near) or second (far).
struct Phases { v_0: vec4<f32>, v_1: vec4<f32>, v_2: vec4<f32>, v_3: vec4<f32> }

fn phases(at: u32, row: u32) -> Phases {
    let a = dy[at];
    let b = dy[at + 1u];
    let c = dy[at + 2u * row];
    let d = dy[at + 2u * row + 1u];
    return Phases(vec4<f32>(a.xy, c.xy), vec4<f32>(a.zw, c.zw), vec4<f32>(b.xy, d.xy), vec4<f32>(b.zw, d.zw));
}

// First phase of a block of four voxels within its channel of dy.
fn first_phase(at: u32, row: u32) -> u32 {
    let i = at / row / params.y;
    let j = at / row % params.y;
    return (i * 2u * params.y + j) * 4u * row + at % row * 2u;
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    // Positions are counted in blocks of four voxels.
    let row = params.z / 4u;
    let volume = params.x * params.y * row;
    let plane = 4u * params.y * row;
    let blocks = (params.channels + HELD - 1u) / HELD;
#if WEIGHTS
    let pairs = (params.k + 1u) / 2u;
    let part = index % params.parts;
    let k = index / params.parts % pairs * 2u;
    let c = index / params.parts / pairs * HELD;
    if (c >= params.channels) {
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
    // One invocation takes neighbouring voxels: whole cache lines.
    let share = (params.samples * volume + params.parts - 1u) / params.parts;
    for (var at = part * share; at < min((part + 1u) * share, params.samples * volume); at += 1u) {
        let n = at / volume;
        let voxel = at % volume;
        let phase = first_phase(voxel, row);
#unroll o in 0..2
        let start_$o = (n * params.k + k_$o) * 8u * volume + phase;
        let near_$o = phases(start_$o, row);
        let far_$o = phases(start_$o + plane, row);
#end
#unroll i in 0..HELD
        {
            let a = x[(n * params.channels + c_$i) * volume + voxel];
#unroll o in 0..2
#unroll v in 0..4
            near_$i_$o = fma(vec4<f32>(a[$v]), near_$o.v_$v, near_$i_$o);
            far_$i_$o = fma(vec4<f32>(a[$v]), far_$o.v_$v, far_$i_$o);
#end
#end
        }
#end
    }
#unroll i in 0..HELD
#unroll o in 0..2
    store(part, c + $iu, k + $ou, near_$i_$o, far_$i_$o);
#end
#end
#else
    let tiles = (volume + 1u) / 2u;
    let first = index % tiles * 2u;
    let c = index / tiles % blocks * HELD;
    let n = index / tiles / blocks;
    if (n >= params.samples) {
        return;
    }
#unroll f in 0..2
    let at_$f = first_phase(min(first + $fu, volume - 1u), row);
#unroll i in 0..HELD
    var sum_$f_$i = vec4<f32>();
#end
#end
#unroll i in 0..HELD
    let w_$i = min(c + $iu, params.channels - 1u) * params.k * 2u;
#end
    for (var k = 0u; k < params.k; k += 1u) {
        let channel = (n * params.k + k) * 8u * volume;
#unroll f in 0..2
        let near_$f = phases(channel + at_$f, row);
        let far_$f = phases(channel + at_$f + plane, row);
#end
#unroll i in 0..HELD
        {
            let near = w[w_$i + 2u * k];
            let far = w[w_$i + 2u * k + 1u];
#unroll f in 0..2
            sum_$f_$i += vec4<f32>(
                dot(near_$f.v_0, near) + dot(far_$f.v_0, far), dot(near_$f.v_1, near) + dot(far_$f.v_1, far),
                dot(near_$f.v_2, near) + dot(far_$f.v_2, far), dot(near_$f.v_3, near) + dot(far_$f.v_3, far),
            );
#end
        }
#end
    }
#unroll f in 0..2
#unroll i in 0..HELD
    if ((first + $fu < volume) & (c + $iu < params.channels)) {
        dx[(n * params.channels + c + $iu) * volume + first + $fu] = sum_$f_$i;
    }
#end
#end
#end
}
