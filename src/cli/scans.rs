//! Scans from files: one per channel, or one with all.

use std::path::{Path, PathBuf};

use super::console::warn_all;
use super::error::{CliError, Context};
use super::files;
use crate::infer::InferError;
use crate::report::provenance::FileRecord;
use crate::volume::nifti::{self, AffineFrom, Header, ReadOptions};
use crate::volume::{LabelMap, SAME_GRID_MM, Volume};
use crate::weights::Metadata;

/// A study as the model wants it.
pub(super) struct Scans {
    pub volume: Volume,
    /// Of the first file: the output follows it.
    pub header: Header,
    pub affine_from: AffineFrom,
    pub warnings: Vec<String>,
    pub files: Vec<FileRecord>,
}

impl Scans {
    /// Reads every file and joins their channels.
    ///
    /// # Errors
    /// A file that cannot be read, or two that do not lie on one grid; both are named.
    pub fn read(paths: &[PathBuf], options: &ReadOptions) -> Result<Self, CliError> {
        let [first, rest @ ..] = paths else {
            return Err(CliError::usage("no scan is given"));
        };
        let scan = nifti::read_path(first, options).at(first)?;
        warn_all(&first.display().to_string(), &scan.warnings);
        let mut all = Self {
            volume: scan.volume,
            header: scan.header,
            affine_from: scan.affine_from,
            warnings: scan.warnings,
            files: vec![files::record(first)?],
        };
        for path in rest {
            let next = nifti::read_path(path, options).at(path)?;
            warn_all(&path.display().to_string(), &next.warnings);
            let grids = [(&all.volume.dims, &all.volume.affine), (&next.volume.dims, &next.volume.affine)];
            same_grid(first, path, grids)?;
            all.volume.channels += next.volume.channels;
            all.volume.data.extend_from_slice(&next.volume.data);
            all.warnings.extend(next.warnings);
            all.files.push(files::record(path)?);
        }
        Ok(all)
    }

    /// # Errors
    /// Another number of channels than the model's.
    pub fn check_channels(&self, model: &Metadata) -> Result<(), CliError> {
        if self.volume.channels == model.network.in_channels {
            return Ok(());
        }
        let error = InferError::Channels {
            got: self.volume.channels,
            want: model.network.in_channels,
            names: model.input.channels.join(", "),
        };
        Err(error.into())
    }
}

/// Reads a label map and shows what is doubtful about it.
pub(super) fn labels(path: &Path, options: &ReadOptions) -> Result<LabelMap, CliError> {
    let read = nifti::read_labels_path(path, options).at(path)?;
    warn_all(&path.display().to_string(), &read.warnings);
    Ok(read.labels)
}

type Grid<'a> = (&'a [usize; 3], &'a crate::volume::Affine);

/// # Errors
/// The two files lie on different grids; both are named.
pub(super) fn same_grid(a: &Path, b: &Path, [(da, aa), (db, ab)]: [Grid<'_>; 2]) -> Result<(), CliError> {
    let (first, second) = (a.display(), b.display());
    if da != db {
        return Err(CliError::failed(format!(
            "{first} has {da:?} voxels and {second} has {db:?}: they must lie on one grid"
        )));
    }
    let moved = aa.max_displacement(ab, *da);
    if moved > SAME_GRID_MM {
        return Err(CliError::failed(format!(
            "{first} and {second} have the same size but lie up to {moved:.3} mm apart: they must lie on one grid"
        )));
    }
    Ok(())
}
