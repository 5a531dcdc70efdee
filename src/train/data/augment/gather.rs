//! Cutting a window without interpolation: voxels are copied, what lies outside of the volume is 0.

use crate::volume::orientation::Turn;

/// Appends the window of `size` that begins at voxel `start` of each channel, turned.
///
/// # Shapes
/// `source` `(C, X, Y, Z)` on `dims`; appends `(C, size...)` in the axes of the turned window.
pub(super) fn gather<T: Copy + Default>(
    source: &[T],
    dims: [usize; 3],
    size: [usize; 3],
    start: [i64; 3],
    turn: Turn,
    out: &mut Vec<T>,
) {
    let strides = [dims[1] * dims[2], dims[2], 1];
    let turned = turn.dims(size);
    // Offset in a channel of each index along each axis of the result, if it lies in the volume.
    let along: [Vec<Option<usize>>; 3] = std::array::from_fn(|t| {
        let a = turn.source[t];
        let offset = |i: usize| {
            let i = if turn.flip[t] { turned[t] - 1 - i } else { i };
            let voxel = usize::try_from(start[a].checked_add(i as i64)?).ok()?;
            (voxel < dims[a]).then(|| voxel * strides[a])
        };
        (0..turned[t]).map(offset).collect()
    });
    let [xs, ys, zs] = &along;
    for channel in source.chunks_exact(dims.iter().product::<usize>().max(1)) {
        for x in xs {
            for y in ys {
                match (x, y) {
                    (Some(x), Some(y)) => {
                        let value = |z: usize| channel.get(x + y + z).copied().unwrap_or_default();
                        out.extend(zs.iter().map(|z| z.map_or(T::default(), value)));
                    }
                    _ => out.extend(std::iter::repeat_n(T::default(), zs.len())),
                }
            }
        }
    }
}
