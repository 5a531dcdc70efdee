// y[n, j, i] = x[n, i, j]
#import index

struct Params { samples: u32, rows: u32, columns: u32 }
@group(0) @binding(#) var<uniform> params: Params;
@group(0) @binding(#) var<storage, read> x: array<f32>;
@group(0) @binding(#) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn forward(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) counts: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let index = flat_group(wid, counts) * 64u + lane;
    let size = params.rows * params.columns;
    if (index >= params.samples * size) {
        return;
    }
    let n = index / size;
    let j = index % size / params.rows;
    let i = index % params.rows;
    y[index] = x[n * size + i * params.columns + j];
}
