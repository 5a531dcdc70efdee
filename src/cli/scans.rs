//! Scans and label maps from the command line's paths, with what there is to be told about them.

use std::path::{Path, PathBuf};

use super::console::{fact, note, warn_all};
use super::error::{CliError, Context};
use crate::infer::InferError;
#[cfg(feature = "dicom")]
use crate::volume::dicom::DicomError;
use crate::volume::orientation::Turn;
use crate::volume::study::{LabelFiles, LabelImage};
use crate::volume::{Alignment, LabelMap, Study, StudyOptions, VolumeError, VoxelGrid};
use crate::weights::Metadata;

/// Reads the scans of one study and shows what is doubtful about them.
///
/// # Errors
/// A file that cannot be read, or two that do not lie on one grid; both are named.
pub(super) fn read(paths: &[PathBuf], options: &StudyOptions) -> Result<Study, CliError> {
    let study = Study::open(paths, options).map_err(worded)?;
    study.warnings.iter().for_each(|warning| note(format!("warning: {warning}")));
    Ok(study)
}

/// The error with the option that helps.
fn worded(error: VolumeError) -> CliError {
    match error {
        VolumeError::Choices { what, given, scans } => {
            CliError::usage(format!("--{what} is given {given} time(s) for {scans} scans: once for each"))
        }
        VolumeError::NoChoice { what, file, .. } => {
            CliError::usage(format!("--{what} is for DICOM, and {file} is none"))
        }
        #[cfg(feature = "dicom")]
        VolumeError::File { file, source } => match *source {
            VolumeError::Dicom(e @ DicomError::Series { .. }) => {
                CliError::failed(format!("{file}: {e}. --series UID chooses"))
            }
            VolumeError::Dicom(e @ DicomError::Acquisitions { .. }) => {
                CliError::failed(format!("{file}: {e}. --acquisition N chooses"))
            }
            source => VolumeError::File { file, source: Box::new(source) }.into(),
        },
        error => error.into(),
    }
}

/// # Errors
/// Another number of channels than the model's.
pub(super) fn check_channels(study: &Study, model: &Metadata) -> Result<(), CliError> {
    if study.volume.channels == model.network.in_channels() {
        return Ok(());
    }
    let error = InferError::Channels {
        got: study.volume.channels,
        want: model.network.in_channels(),
        names: model.input.channels.join(", "),
    };
    Err(error.into())
}

/// Puts scans of one channel each into the model's order, as far as their names tell it.
///
/// # Errors
/// A file whose name says another channel than the one it would be.
pub(super) fn arrange(study: &mut Study, model: &Metadata) -> Result<(), CliError> {
    warn_all("channels", study.arrange(&model.input.channels)?.as_slice());
    Ok(())
}

/// Reads a label map and shows what is doubtful about it.
pub(super) fn labels(path: &Path, options: &StudyOptions) -> Result<LabelImage, CliError> {
    let read = LabelFiles::open(path).and_then(|files| files.read(options)).at(path)?;
    warn_all(&path.display().to_string(), &read.warnings);
    Ok(read)
}

/// Two label maps on one grid, the first one's where it is whole.
///
/// # Errors
/// The two lie on different grids; both are named.
pub(super) fn on_one_grid(
    [(a, a_path), (b, b_path)]: [(LabelImage, &Path); 2],
) -> Result<[LabelMap<u32>; 2], CliError> {
    let grid = match (a.partial, b.partial) {
        (true, false) => b.labels.grid(),
        (true, true) => a.joint_grid(&b, [&a_path.display().to_string(), &b_path.display().to_string()])?,
        _ => a.labels.grid(),
    };
    Ok([on_grid(a, a_path, &grid, b_path)?, on_grid(b, b_path, &grid, a_path)?])
}

/// Labels on the grid of what they are compared with; says so if they had to be moved.
///
/// # Errors
/// The two lie on different grids; both are named.
pub(super) fn on_grid(
    labels: LabelImage,
    path: &Path,
    grid: &VoxelGrid,
    first: &Path,
) -> Result<LabelMap<u32>, CliError> {
    let names = [first.display().to_string(), path.display().to_string()];
    let own = labels.labels.grid();
    let apart = grid.affine.max_displacement(&own.affine, grid.dims);
    let rounded = !labels.partial && !grid.equals(&own) && grid.align(&own) == Alignment::Same(Turn::NONE);
    let (labels, told) = labels.on_grid(grid, [&names[0], &names[1]])?;
    if rounded {
        fact("grid", format!("{} lies {apart:.4} mm beside {}: one grid", names[1], names[0]));
    }
    told.iter().for_each(|text| note(format!("warning: {text}")));
    Ok(labels)
}
