//! The form of a reference that is too large to store: all logits of some voxels, and of each class over all voxels the mean,
//! the standard deviation, and in how many it has the largest logit.

use super::file::fault;
use super::{InferError, StageError};
use crate::weights::safetensors::Tensors;

/// Share of the voxels that may have another class: where two logits are nearly equal, rounding decides.
const OTHER_CLASS: f64 = 1e-4;

/// The voxels whose logits are stored, `(class, voxel)`.
pub(super) struct Voxels {
    classes: usize,
    voxels: Vec<usize>,
}

impl Voxels {
    /// The tensor `voxel`, flat indices into the window, if there is one.
    ///
    /// # Errors
    /// It holds something else, or the logits are not of these voxels.
    pub fn read(tensors: &Tensors, classes: usize) -> Result<Option<Self>, InferError> {
        let Some(view) = tensors.get("voxel") else { return Ok(None) };
        let whole = |v: f64| if v.fract() == 0.0 && (0.0..1e15).contains(&v) { Some(v as usize) } else { None };
        let voxels: Option<Vec<usize>> = view.to_f64().into_iter().map(whole).collect();
        let voxels = voxels.ok_or_else(|| fault("'voxel' holds other numbers than indices of voxels"))?;
        let logits = tensors.get("logits").ok_or_else(|| fault("no tensor 'logits'"))?;
        match logits.shape == [classes, voxels.len()] {
            true => Ok(Some(Self { classes, voxels })),
            false => Err(fault(format!(
                "logits have shape {:?}, not {classes} classes of {} voxels",
                logits.shape,
                voxels.len()
            ))),
        }
    }

    /// Checks that a window of so many voxels has all of them.
    ///
    /// # Errors
    /// The first that it has not.
    pub fn check(&self, window: usize) -> Result<(), InferError> {
        match self.voxels.iter().find(|&&v| v >= window) {
            Some(v) => Err(fault(format!("'voxel' names voxel {v}, the window has {window}"))),
            None => Ok(()),
        }
    }

    /// Where the stored values lie among so many logits.
    pub fn places(&self, logits: usize) -> impl Iterator<Item = usize> {
        let window = logits / self.classes.max(1);
        (0..self.classes).flat_map(move |k| self.voxels.iter().map(move |v| k * window + v))
    }

    /// The errors of the statistics that the file holds.
    ///
    /// # Errors
    /// One has another number of values than there are classes.
    pub fn statistics(&self, tensors: &Tensors, logits: &[f32]) -> Result<Vec<StageError>, InferError> {
        let window = logits.len() / self.classes.max(1);
        let class = |k: usize| logits[k * window..][..window].iter().map(|&v| f64::from(v));
        let means: Vec<f64> = (0..self.classes).map(|k| class(k).sum::<f64>() / window as f64).collect();
        let spread =
            |(k, mean): (usize, &f64)| (class(k).map(|v| (v - mean).powi(2)).sum::<f64>() / window as f64).sqrt();
        let deviations: Vec<f64> = means.iter().enumerate().map(spread).collect();
        let mut counts = vec![0.0; self.classes];
        for v in 0..window {
            let best = (1..self.classes)
                .fold(0, |best, k| if logits[k * window + v] > logits[best * window + v] { k } else { best });
            counts[best] += 1.0;
        }
        let mut rows = Vec::new();
        for (name, got) in [("mean", means), ("std", deviations), ("argmax_histogram", counts)] {
            let Some(view) = tensors.get(name) else { continue };
            let want = view.to_f64();
            if want.len() != self.classes {
                return Err(fault(format!("{name} has {} values, the network {} classes", want.len(), self.classes)));
            }
            let mut row = StageError::of(name, &want, &got);
            if name == "argmax_histogram" {
                row.tolerance = OTHER_CLASS * window as f64;
                // Counts are whole numbers: a sum of others than the window's voxels is no histogram of it.
                row.ok = row.max_abs <= row.tolerance && want.iter().sum::<f64>() == window as f64;
            }
            rows.push(row);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::weights::Dtype;
    use crate::weights::safetensors::TensorsBuilder;

    /// Three voxels won by the first class and one by the second.
    const LOGITS: [f32; 8] = [1.0, 3.0, 5.0, -1.0, 0.0, 2.0, 4.0, 3.0];

    fn file(voxels: &[i64], stored: &[f32], statistics: [[f64; 2]; 3]) -> Tensors {
        let mut tensors = TensorsBuilder::new();
        let bytes: Vec<u8> = voxels.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.push("voxel", Dtype::I64, &[voxels.len()], &bytes).expect("pushed");
        let bytes: Vec<u8> = stored.iter().flat_map(|v| v.to_le_bytes()).collect();
        tensors.push("logits", Dtype::F32, &[2, stored.len() / 2], &bytes).expect("pushed");
        for (name, values) in ["mean", "std", "argmax_histogram"].iter().zip(statistics) {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            tensors.push(name, Dtype::F64, &[2], &bytes).expect("pushed");
        }
        tensors.finish(&BTreeMap::new()).expect("a file")
    }

    const STATISTICS: [[f64; 2]; 3] = [[2.0, 2.25], [2.23606797749979, 1.479019945774904], [3.0, 1.0]];

    #[test]
    fn places_and_statistics_of_voxels() {
        let tensors = file(&[3, 1], &[-1.0, 3.0, 3.0, 2.0], STATISTICS);
        let voxels = Voxels::read(&tensors, 2).expect("a file").expect("voxels");
        assert_eq!(voxels.places(8).map(|at| LOGITS[at]).collect::<Vec<_>>(), [-1.0, 3.0, 3.0, 2.0]);
        assert!(voxels.check(4).is_ok() && voxels.check(3).is_err());
        let ok = |statistics| {
            let tensors = file(&[3, 1], &[-1.0, 3.0, 3.0, 2.0], statistics);
            let rows = voxels.statistics(&tensors, &LOGITS).expect("rows");
            assert_eq!(rows.len(), 3);
            rows.iter().all(|row| row.ok)
        };
        assert!(ok(STATISTICS));
        for (row, class) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
            let mut changed = STATISTICS;
            changed[row][class] += if row == 2 { 1.0 } else { 0.01 };
            assert!(!ok(changed), "{row} {class}");
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let stored = [0.0; 4];
        assert!(Voxels::read(&file(&[0, -1], &stored, STATISTICS), 2).is_err(), "a negative index");
        assert!(Voxels::read(&file(&[0, 1, 2], &stored, STATISTICS), 2).is_err(), "other voxels");
        assert!(Voxels::read(&file(&[0, 1], &stored, STATISTICS), 3).is_err(), "other classes");
    }
}
