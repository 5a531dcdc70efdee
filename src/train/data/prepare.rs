//! One case: read, checked, and brought to the model's grid.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::crop::Places;
use super::error::DataError;
use super::recipe::DataRecipe;
use super::target::Target;
use super::task::Task;
use crate::dataset::Case;
use crate::report::fit::SeenScan;
use crate::volume::channels;
use crate::volume::study::LabelFiles;
use crate::volume::{LabelMap, Preprocess, StudyFiles, StudyOptions, Volume, VolumeError};
use crate::weights::package::{InputSection, OutputSection};

/// How the cases of a run are read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The `input` section's steps.
    pub(super) preprocess: Preprocess,
    /// What each channel shows.
    pub(super) channels: Vec<String>,
    pub(super) target: Target,
    pub(super) allow_empty: bool,
    pub(super) image_threshold: f32,
}

/// A case as its files have it, checked.
#[derive(Clone, Debug)]
pub struct RawCase {
    pub volume: Volume,
    /// Relabelled values on the same grid.
    pub labels: LabelMap,
    /// What is doubtful about the files.
    pub warnings: Vec<String>,
}

/// The files of a case, opened: what is read of them is read once, for its digest and its voxels.
pub struct CaseFiles {
    pub(super) images: StudyFiles,
    pub(super) label: LabelFiles,
}

/// A case on the model's grid.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedCase {
    /// `(C, X, Y, Z)`.
    pub image: Vec<f32>,
    /// Relabelled values, `(X, Y, Z)`.
    pub label: Vec<u16>,
    /// C.
    pub channels: usize,
    /// X, Y, Z.
    pub dims: [usize; 3],
    /// mm between voxels along X, Y, Z.
    pub spacing: [f64; 3],
    /// Where X, Y, Z point, such as `RAS`.
    pub axis_codes: String,
    /// Where windows may be centred.
    pub places: Places,
}

impl PreparedCase {
    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.image.len() * size_of::<f32>() + self.label.len() * size_of::<u16>()) as u64
    }

    /// SHA-256 of each channel's voxels: equal for copies of a scan however they are named, linked or packed. A channel of
    /// one value throughout, as a missing contrast is given, says nothing and is left out.
    #[must_use]
    pub fn content(&self) -> Vec<[u8; 32]> {
        let voxels: usize = self.dims.iter().product();
        let varied = self.image.chunks_exact(voxels.max(1)).filter(|c| c.iter().any(|v| Some(v) != c.first()));
        varied
            .map(|channel| {
                let mut hash = Sha256::new();
                self.dims.iter().for_each(|d| hash.update(d.to_le_bytes()));
                hash.update(bytemuck::cast_slice(channel));
                hash.finalize().into()
            })
            .collect()
    }
}

impl Source {
    /// What the recipe's sections say about reading.
    ///
    /// # Errors
    /// As [`DataRecipe::validate`].
    pub fn new(
        data: &DataRecipe,
        task: &Task,
        input: &InputSection,
        output: &OutputSection,
    ) -> Result<Self, DataError> {
        data.validate(task, input, output)?;
        Ok(Self {
            preprocess: input.preprocess.clone(),
            channels: input.channels.clone(),
            target: Target::new(data, task, output)?,
            allow_empty: data.allow_empty,
            image_threshold: data.image_threshold,
        })
    }

    /// What the network is to answer.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The files of a case in the model's order, as far as their names tell it: what segments a scan does the same.
    ///
    /// # Errors
    /// A file whose name says another channel than the one it would be.
    pub(super) fn images<'a>(&self, case: &'a Case) -> Result<Vec<&'a Path>, DataError> {
        let order = self.order(case).map_err(|e| DataError::volume(first(case), e))?.0;
        Ok(order.into_iter().map(|at| case.images[at].as_path()).collect())
    }

    fn order(&self, case: &Case) -> Result<(Vec<usize>, Option<String>), VolumeError> {
        if case.images.len() != self.channels.len() {
            return Ok(((0..case.images.len()).collect(), None));
        }
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        channels::order(&case.images.iter().map(name).collect::<Vec<_>>(), &self.channels)
    }

    /// Which file of these cases is which channel, where that was not plain: of the first one, since the others are alike.
    pub(super) fn channels_told(&self, cases: &[Case]) -> Option<String> {
        let mut told = cases.iter().filter_map(|case| Some((&case.name, self.order(case).ok()?.1?)));
        let (name, text) = told.next()?;
        Some(match told.count() {
            0 => format!("{name}: {text}"),
            more => format!("{name} and {more} more case(s): {text}"),
        })
    }

    /// Opens a case's files.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub fn open(&self, case: &Case) -> Result<CaseFiles, DataError> {
        let images: Vec<PathBuf> = self.images(case)?.into_iter().map(Path::to_path_buf).collect();
        Ok(CaseFiles {
            images: StudyFiles::open(&images).map_err(|e| DataError::volume(first(case), e))?,
            label: LabelFiles::open(&case.label).map_err(|e| DataError::volume(&case.label, e))?,
        })
    }

    /// Reads a case's files and checks that they fit together and to the network.
    ///
    /// # Errors
    /// A file that cannot be read, files on different grids, another number of channels, an undeclared label.
    pub fn read(&self, case: &Case) -> Result<RawCase, DataError> {
        self.read_files(case, self.open(case)?)
    }

    fn read_files(&self, case: &Case, files: CaseFiles) -> Result<RawCase, DataError> {
        let options = StudyOptions::default();
        let path = first(case);
        let study = files.images.read(&options).map_err(|e| DataError::volume(path, e))?;
        let mut warnings: Vec<String> = study.warnings.iter().map(ToString::to_string).collect();
        if study.volume.channels != self.channels.len() {
            let (found, expected, names) = (study.volume.channels, self.channels.len(), self.channels.join(", "));
            return Err(DataError::Channels { path: path.into(), found, expected, names });
        }
        let read = files.label.read(&options).map_err(|e| DataError::volume(&case.label, e))?;
        let name = case.label.display().to_string();
        warnings.extend(read.warnings.iter().map(|text| format!("{name}: {text}")));
        let placed = read.on_grid(&study.grid(), [&study.name, &name]);
        let (labels, told) = placed.map_err(|e| DataError::volume(&case.label, e))?;
        let mut labels = labels.narrow().map_err(|e| DataError::volume(&case.label, e))?;
        warnings.extend(told);
        self.relabel(&case.label, &mut labels)?;
        Ok(RawCase { volume: study.volume, labels, warnings })
    }

    /// What the scan under a case's labels is like; these lie on its grid.
    ///
    /// # Errors
    /// A file that cannot be read, an undeclared label.
    pub(super) fn seen(&self, case: &Case) -> Result<SeenScan, DataError> {
        let read =
            LabelFiles::open(&case.label).and_then(|files| files.read(&StudyOptions::default())?.labels.narrow());
        let mut labels = read.map_err(|source| DataError::volume(&case.label, source))?;
        self.relabel(&case.label, &mut labels)?;
        Ok(SeenScan::of(&labels))
    }

    /// Replaces the values of a label map.
    fn relabel(&self, path: &Path, labels: &mut LabelMap) -> Result<(), DataError> {
        let counts = labels.counts();
        let unknown = counts.iter().find(|(value, _)| self.target.value(**value).is_none());
        if let Some((&value, &voxels)) = unknown {
            return Err(DataError::Label { path: path.into(), value, voxels, known: self.target.known() });
        }
        if counts.keys().any(|value| self.target.value(*value) != Some(*value)) {
            for value in &mut labels.data {
                *value = self.target.value(*value).unwrap_or(0);
            }
        }
        Ok(())
    }

    /// A case on the model's grid, and what is doubtful about it.
    ///
    /// # Errors
    /// As [`Source::read`]; a volume that cannot be preprocessed.
    pub fn prepare(&self, case: &Case) -> Result<(PreparedCase, Vec<String>), DataError> {
        self.prepare_files(case, self.open(case)?)
    }

    pub(super) fn prepare_files(
        &self,
        case: &Case,
        files: CaseFiles,
    ) -> Result<(PreparedCase, Vec<String>), DataError> {
        let RawCase { volume, labels, mut warnings } = self.read_files(case, files)?;
        let path = first(case);
        let done = self.preprocess.apply(&volume).map_err(|source| DataError::volume(path, source))?;
        drop(volume);
        warnings.extend(done.warnings.iter().map(|text| format!("{}: {text}", path.display())));
        let label = done.geometry.apply_labels(&labels).map_err(|source| DataError::volume(&case.label, source))?;
        let non_finite = done.volume.non_finite();
        if non_finite > 0 {
            return Err(DataError::NonFinite { path: path.into(), voxels: non_finite });
        }
        let Volume { data: image, channels, dims, affine } = done.volume;
        let places = Places::new(&image, &label.data, dims, self.image_threshold);
        let (spacing, axis_codes) = (affine.spacing(), affine.axis_codes());
        Ok((PreparedCase { image, label: label.data, channels, dims, spacing, axis_codes, places }, warnings))
    }

    /// 64 hexadecimal digits that change with any file of a case or a setting of preprocessing.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn fingerprint(&self, case: &Case) -> Result<String, DataError> {
        super::cache::key(self, case, &mut self.open(case)?)
    }

    /// What to say about a case without any labelled voxel.
    ///
    /// # Errors
    /// The recipe does not allow such cases.
    pub(super) fn empty(&self, case: &Case) -> Result<String, DataError> {
        match self.allow_empty {
            true => Ok(format!("{}: no voxel is labelled", case.label.display())),
            false => Err(DataError::Empty { path: case.label.clone() }),
        }
    }
}

/// The image by which a case is named in messages.
fn first(case: &Case) -> &Path {
    case.images.first().map_or(Path::new(""), PathBuf::as_path)
}
