//! Deliberate mistakes about sides, each in one or two places.

use unetr_wgpu::volume::{Orientation, Volume};

use super::phantom::{HONEST, Hooks};

type Defect = (&'static str, Hooks);

pub fn defects() -> Vec<Defect> {
    let mut all = in_the_reader();
    all.extend(in_the_turn_and_the_writer());
    all.extend(in_the_file());
    all.extend(that_cancel());
    all
}

fn flip_axis<T: Copy>(data: &mut [T], dims: [usize; 3], axis: usize) {
    let strides = [dims[1] * dims[2], dims[2], 1];
    for at in 0..data.len() {
        let i = at / strides[axis] % dims[axis];
        let mirrored = at + (dims[axis] - 1) * strides[axis] - 2 * i * strides[axis];
        if at < mirrored {
            data.swap(at, mirrored);
        }
    }
}

fn mirror(volume: &mut Volume, axis: usize) {
    flip_axis(&mut volume.data, volume.dims, axis);
}

fn negate_row(volume: &mut Volume, row: usize) {
    volume.affine.0[row].iter_mut().for_each(|v| *v = -*v);
}

fn in_the_reader() -> Vec<Defect> {
    let scan = |name, scan| (name, Hooks { scan, ..HONEST });
    vec![
        scan("reader keeps LPS signs", |v| (0..2).for_each(|r| negate_row(v, r))),
        scan("reader mirrors x", |v| mirror(v, 0)),
        scan("reader mirrors y", |v| mirror(v, 1)),
        scan("reader reverses the slices", |v| mirror(v, 2)),
        scan("reader mirrors the affine", |v| negate_row(v, 0)),
        scan("reader swaps two axes", |v| {
            v.dims.swap(0, 1);
            v.affine.0.iter_mut().for_each(|row| row.swap(0, 1));
        }),
        scan("reader swaps two columns of the affine", |v| {
            v.affine.0.iter_mut().for_each(|row| row.swap(1, 2));
        }),
        scan("reader mirrors a column and not the origin", |v| {
            v.affine.0.iter_mut().for_each(|row| row[0] = -row[0]);
        }),
    ]
}

fn in_the_turn_and_the_writer() -> Vec<Defect> {
    let model = |name, model| (name, Hooks { model, ..HONEST });
    let labels = |name, labels| (name, Hooks { labels, ..HONEST });
    vec![
        model("turn to RAS mirrors x", |v| mirror(v, 0)),
        model("turn to RAS forgets the origin", |v| v.affine.0[0][3] += 1.5),
        labels("writer mirrors x", |l| flip_axis(&mut l.data, l.dims, 0)),
        labels("writer reverses the slices", |l| flip_axis(&mut l.data, l.dims, 2)),
        labels("left and right labels swapped", |l| {
            let swapped = [0, 2, 1, 3, 4, 5, 6];
            l.data.iter_mut().for_each(|v| *v = swapped[usize::from(*v)]);
        }),
        labels("voxels written in the wrong order", |l| l.data.reverse()),
        labels("voxels shifted by one", |l| l.data.rotate_right(1)),
    ]
}

/// Changes the f32 at `offset` of a NIfTI-1 file.
fn change(file: &mut [u8], offset: usize, by: fn(f32) -> f32) {
    let value = f32::from_le_bytes(file[offset..offset + 4].try_into().unwrap());
    file[offset..offset + 4].copy_from_slice(&by(value).to_le_bytes());
}

fn in_the_file() -> Vec<Defect> {
    let file = |name, file| (name, Hooks { file, ..HONEST });
    vec![
        file("sform mirrored", |f| (0..4).for_each(|n| change(f, 280 + 4 * n, |v| -v))),
        file("qfac negated", |f| change(f, 76, |v| -v)),
        file("qoffset wrong", |f| change(f, 268, |v| -v - 1.0)),
        file("quaternion wrong", |f| change(f, 256, |v| v + 0.1)),
    ]
}

/// Mistakes that undo each other: a round trip through one's own reader does not see them.
fn that_cancel() -> Vec<Defect> {
    vec![
        (
            "reader and writer mirror x",
            Hooks { scan: |v| mirror(v, 0), labels: |l| flip_axis(&mut l.data, l.dims, 0), ..HONEST },
        ),
        (
            "reader and writer mirror the affine",
            Hooks { scan: |v| negate_row(v, 0), labels: |l| l.affine.0[0].iter_mut().for_each(|v| *v = -*v), ..HONEST },
        ),
        (
            "the turn there and the turn back mirror",
            Hooks {
                model: |v| mirror(v, 0),
                labels: |l| {
                    let axis = Orientation::of(&l.affine).axis.iter().position(|&w| w == 0);
                    flip_axis(&mut l.data, l.dims, axis.expect("an axis along x"));
                },
                ..HONEST
            },
        ),
    ]
}
