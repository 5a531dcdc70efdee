//! Scans from files: one per channel, or one with all.

use std::path::{Path, PathBuf};

use super::console::warn_all;
use super::error::{CliError, Context};
use super::files;
use crate::infer::InferError;
use crate::report::provenance::FileRecord;
#[cfg(feature = "dicom")]
use crate::volume::VolumeError;
use crate::volume::channels;
#[cfg(feature = "dicom")]
use crate::volume::dicom;
use crate::volume::nifti::{self, AffineFrom, Header, ReadOptions};
use crate::volume::{LabelMap, SAME_GRID_MM, Volume};
use crate::weights::Metadata;

/// A study as the model wants it.
pub(super) struct Scans {
    pub volume: Volume,
    /// Of the first file, if it is NIfTI: the output follows it.
    pub header: Option<Header>,
    /// Where the affine is from.
    pub affine_source: &'static str,
    pub warnings: Vec<String>,
    pub files: Vec<FileRecord>,
    /// The user has put the channels into order, by `--series`; names are not to be asked.
    ordered: bool,
}

/// How scans are read.
#[derive(Clone, Debug, Default)]
pub(super) struct ScanOptions {
    pub nifti: ReadOptions,
    /// DICOM series to take where files hold several: one for each scan, or several of one.
    pub series: Vec<String>,
}

/// One file, or one series of files.
struct Channel {
    /// As messages name it.
    path: PathBuf,
    volume: Volume,
    header: Option<Header>,
    affine_source: &'static str,
    warnings: Vec<String>,
    record: FileRecord,
}

impl Scans {
    /// Reads every file and joins their channels. A folder, and DICOM files that stand side by side, are one set of files
    /// with one series.
    ///
    /// # Errors
    /// A file that cannot be read, or two that do not lie on one grid; both are named.
    pub fn read(paths: &[PathBuf], options: &ScanOptions) -> Result<Self, CliError> {
        let sets: Vec<&[PathBuf]> = paths.chunk_by(|a, b| is_loose_dicom(a) && is_loose_dicom(b)).collect();
        let wanted = &options.series;
        if sets.len() > 1 && !wanted.is_empty() && wanted.len() != sets.len() {
            let problem = format!("--series is given {} time(s) for {} scans: once for each", wanted.len(), sets.len());
            return Err(CliError::usage(problem));
        }
        let mut channels = Vec::new();
        for (at, inputs) in sets.iter().enumerate() {
            let series = if sets.len() > 1 { wanted.get(at..=at).unwrap_or_default() } else { wanted };
            channels.extend(read_inputs(inputs, &options.nifti, series)?);
        }
        let mut channels = channels.into_iter();
        let Some(first) = channels.next() else {
            return Err(CliError::usage("no scan is given"));
        };
        warn_all(&first.path.display().to_string(), &first.warnings);
        let mut all = Self {
            volume: first.volume,
            header: first.header,
            affine_source: first.affine_source,
            warnings: first.warnings,
            files: vec![first.record],
            ordered: !wanted.is_empty(),
        };
        for next in channels {
            warn_all(&next.path.display().to_string(), &next.warnings);
            let grids = [(&all.volume.dims, &all.volume.affine), (&next.volume.dims, &next.volume.affine)];
            same_grid(&first.path, &next.path, grids)?;
            all.volume.channels += next.volume.channels;
            all.volume.data.extend_from_slice(&next.volume.data);
            all.warnings.extend(next.warnings);
            all.files.push(next.record);
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

    /// Puts scans of one channel each into the model's order, as far as their names tell it.
    pub fn arrange(&mut self, model: &Metadata) {
        if self.ordered {
            return;
        }
        let told = channels::arrange(&mut self.volume, &mut self.files, |f| &f.file, &model.input.channels);
        warn_all("channels", told.as_slice());
        self.warnings.extend(told);
    }
}

/// The channels of one file, or of files that belong together.
fn read_inputs(paths: &[PathBuf], options: &ReadOptions, series: &[String]) -> Result<Vec<Channel>, CliError> {
    let Some(path) = paths.first() else { return Ok(Vec::new()) };
    #[cfg(feature = "dicom")]
    if dicom::is_dicom_path(path) {
        return read_series(path, paths, series);
    }
    if !series.is_empty() {
        return Err(CliError::usage(format!("--series is for DICOM, and {} is none", path.display())));
    }
    let scan = nifti::read_path(path, options).at(path)?;
    Ok(vec![Channel {
        path: path.clone(),
        volume: scan.volume,
        header: Some(scan.header),
        affine_source: match scan.affine_from {
            AffineFrom::Sform => "sform",
            AffineFrom::Qform => "qform",
            AffineFrom::Pixdim => "pixdim",
        },
        warnings: scan.warnings,
        record: files::record(path)?,
    }])
}

#[cfg(feature = "dicom")]
fn read_series(path: &Path, paths: &[PathBuf], series: &[String]) -> Result<Vec<Channel>, CliError> {
    let options = dicom::ReadOptions { series: series.to_vec(), ..dicom::ReadOptions::default() };
    let series = dicom::read_paths(paths, &options).map_err(|e| match e {
        VolumeError::Dicom(dicom::DicomError::Series { .. }) => {
            CliError::failed(format!("{}: {e}. --series UID chooses", path.display()))
        }
        e => CliError::from(e).at(path),
    })?;
    let channel = |series: dicom::Series| Channel {
        path: path.to_owned(),
        volume: series.volume,
        header: None,
        affine_source: "dicom",
        warnings: series.warnings,
        record: FileRecord { file: files::file_name(path), sha256: series.sha256 },
    };
    Ok(series.into_iter().map(channel).collect())
}

#[cfg(feature = "dicom")]
fn is_loose_dicom(path: &Path) -> bool {
    path.is_file() && dicom::is_dicom_path(path)
}

#[cfg(not(feature = "dicom"))]
fn is_loose_dicom(_: &Path) -> bool {
    false
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
