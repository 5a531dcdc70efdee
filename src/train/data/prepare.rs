//! One case: read, checked, and brought to the model's grid.

use std::path::{Path, PathBuf};

use super::crop::Places;
use super::error::DataError;
use super::recipe::DataRecipe;
use super::target::Target;
use crate::dataset::Case;
use crate::model::config::UnetrConfig;
use crate::volume::channels;
use crate::volume::nifti::{ReadOptions, read_labels_path, read_path};
use crate::volume::{Affine, LabelMap, Preprocess, SAME_GRID_MM, Volume};
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
    /// All channels.
    pub volume: Volume,
    /// Relabelled values on the same grid.
    pub labels: LabelMap,
    /// What is doubtful about the files.
    pub warnings: Vec<String>,
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
    /// Where windows may be centred.
    pub places: Places,
}

impl PreparedCase {
    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        (self.image.len() * size_of::<f32>() + self.label.len() * size_of::<u16>()) as u64
    }
}

impl Source {
    /// What the recipe's sections say about reading.
    ///
    /// # Errors
    /// As [`DataRecipe::validate`].
    pub fn new(
        data: &DataRecipe,
        network: &UnetrConfig,
        input: &InputSection,
        output: &OutputSection,
    ) -> Result<Self, DataError> {
        data.validate(network, input, output)?;
        Ok(Self {
            preprocess: input.preprocess(),
            channels: input.channels.clone(),
            target: Target::new(data, network, output)?,
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
    pub(super) fn images<'a>(&self, case: &'a Case) -> Vec<&'a Path> {
        self.order(case).0.into_iter().map(|at| case.images[at].as_path()).collect()
    }

    fn order(&self, case: &Case) -> (Vec<usize>, Option<String>) {
        if case.images.len() < 2 || case.images.len() != self.channels.len() {
            return ((0..case.images.len()).collect(), None);
        }
        let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        channels::order(&case.images.iter().map(name).collect::<Vec<_>>(), &self.channels)
    }

    /// Which file of these cases is which channel, where that was not plain: of the first one, since the others are alike.
    pub(super) fn channels_told(&self, cases: &[Case]) -> Option<String> {
        let mut told = cases.iter().filter_map(|case| Some((&case.name, self.order(case).1?)));
        let (name, text) = told.next()?;
        Some(match told.count() {
            0 => format!("{name}: {text}"),
            more => format!("{name} and {more} more case(s): {text}"),
        })
    }

    /// Reads a case's files and checks that they fit together and to the network.
    ///
    /// # Errors
    /// A file that cannot be read, files on different grids, another number of channels, an undeclared label.
    pub fn read(&self, case: &Case) -> Result<RawCase, DataError> {
        let options = ReadOptions::default();
        let images = self.images(case);
        let first = images.first().copied().unwrap_or(Path::new(""));
        let mut volume: Option<Volume> = None;
        let mut warnings = Vec::new();
        for path in images {
            let scan = read_path(path, &options).map_err(|source| DataError::volume(path, source))?;
            warnings.extend(scan.warnings.iter().map(|text| format!("{}: {text}", path.display())));
            match &mut volume {
                None => volume = Some(scan.volume),
                Some(all) => {
                    same_grid(first, path, (all.dims, &all.affine), (scan.volume.dims, &scan.volume.affine))?;
                    all.channels += scan.volume.channels;
                    all.data.extend_from_slice(&scan.volume.data);
                }
            }
        }
        let found = volume.as_ref().map_or(0, |volume| volume.channels);
        let Some(volume) = volume.filter(|volume| volume.channels == self.channels.len()) else {
            let (path, expected, names) = (first.into(), self.channels.len(), self.channels.join(", "));
            return Err(DataError::Channels { path, found, expected, names });
        };
        let scan = read_labels_path(&case.label, &options).map_err(|source| DataError::volume(&case.label, source))?;
        warnings.extend(scan.warnings.iter().map(|text| format!("{}: {text}", case.label.display())));
        let mut labels = scan.labels;
        same_grid(first, &case.label, (volume.dims, &volume.affine), (labels.dims, &labels.affine))?;
        self.relabel(&case.label, &mut labels)?;
        Ok(RawCase { volume, labels, warnings })
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
        let RawCase { volume, labels, mut warnings } = self.read(case)?;
        let path = case.images.first().map_or(Path::new(""), |path| path.as_path());
        let done = self.preprocess.apply(&volume).map_err(|source| DataError::volume(path, source))?;
        drop(volume);
        warnings.extend(done.warnings.iter().map(|text| format!("{}: {text}", path.display())));
        let label = done.geometry.apply_labels(&labels).map_err(|source| DataError::volume(&case.label, source))?;
        let non_finite = done.volume.non_finite();
        if non_finite > 0 {
            return Err(DataError::NonFinite { path: path.into(), voxels: non_finite });
        }
        let Volume { data: image, channels, dims, affine } = done.volume;
        Ok((self.assemble(image, label.data, channels, dims, affine.spacing()), warnings))
    }

    /// 64 hexadecimal digits that change with any file of a case or a setting of preprocessing.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn fingerprint(&self, case: &Case) -> Result<String, DataError> {
        super::cache::key(self, case)
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

    /// A case from its parts, which fit together.
    pub(super) fn assemble(
        &self,
        image: Vec<f32>,
        label: Vec<u16>,
        channels: usize,
        dims: [usize; 3],
        spacing: [f64; 3],
    ) -> PreparedCase {
        let places = Places::new(&image, &label, dims, self.image_threshold);
        PreparedCase { image, label, channels, dims, spacing, places }
    }
}

fn same_grid(first: &Path, second: &Path, a: ([usize; 3], &Affine), b: ([usize; 3], &Affine)) -> Result<(), DataError> {
    let bad = |problem: String| Err(DataError::Grid { first: first.into(), second: second.into(), problem });
    if a.0 != b.0 {
        return bad(format!("they have {:?} and {:?} voxels", a.0, b.0));
    }
    let moved = a.1.max_displacement(b.1, a.0);
    if moved > SAME_GRID_MM {
        return bad(format!("corners are up to {moved:.3} mm apart"));
    }
    Ok(())
}
