// From class probabilities on the model's grid to labels on the scan's, one part of the classes at a time: the
// probabilities are interpolated (trilinear, border clamp) at each voxel of the scan and the label is decided there, so
// that classes x scan is never stored.
//   table    (entries) of (neighbour below, lesser weight, negative if the one below's), for the indices along the scan's axis,
//            axis after axis; with VOXELS for each voxel of the box; with TAPS lists of (neighbour, weight)
//   p        (classes, RX, RY, RZ), a ring along one axis over the padded grid; outside the grid all are zero
//   channel  (classes) of (label, rank)
//   best     (box of the scan) of (probability or rank, label); FIRST starts it
// Softmax: the first class of the greatest value; of LOGITS, of those whose probability is the same in single precision. REGIONS: the one of the highest rank above `least`.
// A value that is not finite gives NOT_FINITE, found by its bits: comparisons with NaN are not reliable in WGSL.
#import index

const NOT_FINITE: f32 = 65535.0;
#if LOGITS
const TIE: f32 = 2.9802322387695312e-8;
#else
const TIE: f32 = 0.0;
#end
#if LOGITS
#if REGIONS
const START: f32 = 0.0;
#else
const START: f32 = -3.4e38;
#end
#else
const START: f32 = 0.0;
#end

struct Params {
    classes: u32, ring: u32, size_x: i32, size_y: i32,
    size_z: i32, volume_y: u32, shift_x: i32, shift_y: i32,
    shift_z: i32, volume_z: u32, begin_x: u32, begin_y: u32,
    begin_z: u32, table_y: u32, box_x: u32, box_y: u32,
    box_z: u32, table_z: u32, axis_x: u32, axis_y: u32,
    axis_z: u32, least: f32, taps: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> p: array<f32>;
@group(0) @binding(#) var<storage, read> channel: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(#) var<storage, read_write> best: array<vec2<f32>>;

// The ring position of a grid voxel, or -1 outside the grid.
fn position(q: vec3<i32>) -> i32 {
    let size = vec3<i32>(params.size_x, params.size_y, params.size_z);
    if (any(q < vec3<i32>()) | any(q >= size)) {
        return -1;
    }
    let s = q + vec3<i32>(params.shift_x, params.shift_y, params.shift_z);
    let ring = vec3<i32>(i32(params.ring), i32(params.volume_y), i32(params.volume_z));
    let r = s % ring;
    return (r.x * ring.y + r.y) * ring.z + r.z;
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    if (index >= params.box_x * params.box_y * params.box_z) {
        return;
    }
    let voxel = vec3<u32>(
        params.begin_x + index / params.box_z / params.box_y,
        params.begin_y + index / params.box_z % params.box_y,
        params.begin_z + index % params.box_z,
    );
#if TAPS
    let first_x = voxel[params.axis_x] * params.taps;
    let first_y = (params.table_y + voxel[params.axis_y]) * params.taps;
    let first_z = (params.table_z + voxel[params.axis_z]) * params.taps;
    // Neighbours of no weight are last.
    let inside = min(table[first_x].y, min(table[first_y].y, table[first_z].y)) > 0.0;
#else
#if VOXELS
    let entry_x = table[index];
    let entry_y = table[params.table_y + index];
    let entry_z = table[params.table_z + index];
#else
    let entry_x = table[voxel[params.axis_x]];
    let entry_y = table[params.table_y + voxel[params.axis_y]];
    let entry_z = table[params.table_z + voxel[params.axis_z]];
#end
    let lesser = vec3<f32>(entry_x.y, entry_y.y, entry_z.y);
    let below = select(1.0 - lesser, -lesser, lesser < vec3<f32>());
    let above = select(lesser, 1.0 + lesser, lesser < vec3<f32>());
    let g = vec3<i32>(vec3<f32>(entry_x.x, entry_y.x, entry_z.x));
#unroll i in 0..8
    // Neighbours of no weight are not looked at: they may lie outside the ring's planes.
    let offset_$i = vec3<i32>($i / 4, $i / 2 % 2, $i % 2);
    let part_$i = select(below, above, offset_$i == vec3<i32>(1));
    var weight_$i = part_$i.x * part_$i.y * part_$i.z;
    var at_$i = -1;
    if (weight_$i > 0.0) {
        at_$i = position(g + offset_$i);
    }
    weight_$i = select(0.0, weight_$i, at_$i >= 0);
    at_$i = max(at_$i, 0);
#end
    let inside = weight_0 + weight_1 + weight_2 + weight_3 + weight_4 + weight_5 + weight_6 + weight_7 > 0.0;
#end
#if FIRST
    var winner = vec2<f32>(START, 0.0);
#else
    var winner = best[index];
#end
    if (inside) {
        let stride = params.ring * params.volume_y * params.volume_z;
        for (var k = 0u; k < params.classes; k += 1u) {
            var value = 0.0;
#if TAPS
            for (var x = 0u; x < params.taps; x += 1u) {
                let along_x = table[first_x + x];
                for (var y = 0u; y < params.taps; y += 1u) {
                    let along_y = table[first_y + y];
                    for (var z = 0u; z < params.taps; z += 1u) {
                        let along_z = table[first_z + z];
                        let weight = along_x.y * along_y.y * along_z.y;
                        let at = position(vec3<i32>(vec3<f32>(along_x.x, along_y.x, along_z.x)));
                        if ((weight > 0.0) & (at >= 0)) {
                            value = fma(weight, p[k * stride + u32(at)], value);
                        }
                    }
                }
            }
#else
#unroll i in 0..8
            if (weight_$i > 0.0) {
                value = fma(weight_$i, p[k * stride + u32(at_$i)], value);
            }
#end
#end
            if ((bitcast<u32>(value) & 0x7f800000u) == 0x7f800000u) {
                winner = vec2<f32>(NOT_FINITE, NOT_FINITE);
            }
#if REGIONS
            if ((value > params.least) & (channel[k].y > winner.x)) {
                winner = vec2<f32>(channel[k].y, channel[k].x);
            }
#else
            if (value > winner.x + TIE) {
                winner = vec2<f32>(value, channel[k].x);
            }
#end
        }
    }
    best[index] = winner;
}
