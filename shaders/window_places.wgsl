// Where every token of every window lies: a grid padded behind its end, moved around its corner by `shift`, cut into windows.
//   places  (windows, tokens) of (cell, 32 part + region)
// cell: the token's number in the grid, from the grid's number of tokens on one of the padding. part: what it gives to the index
// of a pair's distance, as a token of a full window. region: differs where tokens do not see each other.
#import index

struct Params {
    grid_x: u32, grid_y: u32, grid_z: u32,
    window_x: u32, window_y: u32, window_z: u32,
    shift_x: u32, shift_y: u32, shift_z: u32,
    full_y: u32, full_z: u32,
}
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read_write> places: array<vec2<u32>>;

fn flat(p: vec3<u32>, y: u32, z: u32) -> u32 {
    return (p.x * y + p.y) * z + p.z;
}

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let grid = vec3<u32>(params.grid_x, params.grid_y, params.grid_z);
    let size = vec3<u32>(params.window_x, params.window_y, params.window_z);
    let shift = vec3<u32>(params.shift_x, params.shift_y, params.shift_z);
    let number = (grid + size - 1u) / size;
    let tokens = size.x * size.y * size.z;
    let token = index % tokens;
    let window = index / tokens;
    if (window >= number.x * number.y * number.z) {
        return;
    }
    let first = vec3<u32>(window / number.z / number.y, window / number.z % number.y, window % number.z) * size;
    let moved = first + vec3<u32>(token / size.z / size.y, token / size.z % size.y, token % size.z);
    let padded = number * size;
    let late = select(vec3<u32>(), vec3<u32>(1u), moved >= padded - size);
    let last = select(late, vec3<u32>(2u), moved >= padded - shift);
    let region = select(vec3<u32>(), last, shift > vec3<u32>());

    let p = (moved + shift) % padded;
    let beyond = padded - grid;
    let first_padding = grid.x * grid.y * grid.z;
    let second_padding = first_padding + beyond.x * padded.y * padded.z;
    let third_padding = second_padding + grid.x * beyond.y * padded.z;
    var cell = flat(p, grid.y, grid.z);
    if (p.x >= grid.x) {
        cell = first_padding + flat(vec3<u32>(p.x - grid.x, p.y, p.z), padded.y, padded.z);
    } else if (p.y >= grid.y) {
        cell = second_padding + flat(vec3<u32>(p.x, p.y - grid.y, p.z), beyond.y, padded.z);
    } else if (p.z >= grid.z) {
        cell = third_padding + flat(vec3<u32>(p.x, p.y, p.z - grid.z), grid.y, beyond.z);
    }
    let in_full = vec3<u32>(
        token / params.full_z / params.full_y, token / params.full_z % params.full_y, token % params.full_z,
    );
    let part = flat(in_full, 2u * params.full_y - 1u, 2u * params.full_z - 1u);
    places[index] = vec2<u32>(cell, part * 32u + (region.x * 3u + region.y) * 3u + region.z);
}
