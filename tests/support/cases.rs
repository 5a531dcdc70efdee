//! Small cases in files, and the recipe sections that fit them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use unetr_wgpu::dataset::Case;
use unetr_wgpu::nets::UnetrConfig;
use unetr_wgpu::train::data::{
    AugmentRecipe, DataError, DataRecipe, PreparedCase, PreparedDataset, Sampler, Source, Task,
};
use unetr_wgpu::volume::nifti::{self, WriteOptions};
use unetr_wgpu::volume::{Affine, LabelMap, Volume};
use unetr_wgpu::weights::Metadata;
use unetr_wgpu::weights::package::{InputSection, OutputSection};

/// The sections of a recipe that data has to fit.
pub struct Sections {
    pub task: Task,
    pub input: InputSection,
    pub output: OutputSection,
}

/// Sections for a window of `img_size`, after `change` has had its way with the package's JSON: one channel, three
/// classes, RAS, nothing done to intensities.
pub fn sections(img_size: [usize; 3], change: impl FnOnce(&mut Value)) -> Sections {
    let mut package = json!({
        "format": "unetr/1", "name": "tiny", "version": "1.0.0", "licence": "CC0-1.0", "citation": "",
        "network": UnetrConfig {
            out_channels: 3, img_size, feature_size: 2, hidden_size: 4, mlp_dim: 4, num_heads: 2, ..UnetrConfig::default()
        },
        "input": {
            "channels": ["MR"], "orientation": "RAS", "spacing": null, "crop_foreground": false, "intensity": null
        },
        "output": {"activation": "softmax", "labels": [
            {"value": 1, "name": "one", "color": "#c8563c"}, {"value": 2, "name": "two", "color": "#3c56c8"}
        ]},
        "inference": {"roi_size": img_size, "overlap": 0.5, "blend": "gaussian", "sigma_scale": 0.125},
        "training": {}
    });
    change(&mut package);
    let Metadata { network, input, output, inference, .. } =
        Metadata::from_json(&package.to_string()).expect("a package");
    let task = Task { window: inference.roi_size, channels: network.in_channels(), classes: network.out_channels() };
    Sections { task, input, output }
}

impl Sections {
    pub fn source(&self, data: &DataRecipe) -> Source {
        Source::new(data, &self.task, &self.input, &self.output).expect("sound sections")
    }

    pub fn prepared(
        &self,
        cases: &[Case],
        data: &DataRecipe,
        cache: Option<&Path>,
    ) -> Result<PreparedDataset, DataError> {
        PreparedDataset::new(cases, &self.source(data), data, cache, &|_, _| ControlFlow::Continue(()))
    }

    pub fn sampler(
        &self,
        prepared: PreparedDataset,
        data: &DataRecipe,
        augment: &AugmentRecipe,
        seed: u64,
    ) -> Arc<Sampler> {
        let parts = (data, augment);
        let made = Sampler::new(Arc::new(prepared), parts, &self.task, &self.input, &self.output, seed);
        Arc::new(made.expect("sound sections"))
    }
}

/// `[data]` as written in a recipe.
pub fn data(text: &str) -> DataRecipe {
    toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// `[augment]` as written in a recipe.
pub fn augment(text: &str) -> AugmentRecipe {
    toml::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Values `(C, X, Y, Z)` from a function of channel and voxel.
pub fn fill<T>(channels: usize, [nx, ny, nz]: [usize; 3], value: impl Fn(usize, [usize; 3]) -> T) -> Vec<T> {
    let voxel = |n: usize| [n / (ny * nz), n / nz % ny, n % nz];
    (0..channels).flat_map(|c| (0..nx * ny * nz).map(move |n| (c, n))).map(|(c, n)| value(c, voxel(n))).collect()
}

/// Reproducible values between -1 and 1 without a pattern.
pub fn noise(n: usize) -> f32 {
    let mixed = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((mixed >> 40) as f32 / (1 << 23) as f32) - 1.0
}

pub fn write_image(path: &Path, channels: usize, dims: [usize; 3], value: impl Fn(usize, [usize; 3]) -> f32) {
    let volume = Volume::new(fill(channels, dims, value), channels, dims, Affine::IDENTITY).expect("a volume");
    let file = std::fs::File::create(path).expect("a file");
    nifti::write_volume(file, &volume, &WriteOptions::default()).expect("written");
}

pub fn write_labels(path: &Path, dims: [usize; 3], affine: Affine, value: impl Fn([usize; 3]) -> u16) {
    let labels = LabelMap::new(fill(1, dims, |_, at| value(at)), dims, affine).expect("a label map");
    let file = std::fs::File::create(path).expect("a file");
    nifti::write_labels(file, &labels, &WriteOptions::default()).expect("written");
}

/// A sound case named `name`: an image of noise, labels 1 and 2 in two blocks.
pub fn write_case(folder: &Path, name: &str, dims: [usize; 3]) -> Case {
    let path = |what: &str| folder.join(format!("{name}_{what}.nii"));
    let seed: usize = name.bytes().map(usize::from).sum();
    write_image(&path("image"), 1, dims, |_, [x, y, z]| noise(seed * 1_000_003 + (x * 101 + y) * 103 + z));
    write_labels(&path("label"), dims, Affine::IDENTITY, |[x, y, z]| match (x / 5, y / 5, z / 5) {
        (0, 0, 0) => 1,
        (1, 1, 1) => 2,
        _ => 0,
    });
    case(name, vec![path("image")], path("label"))
}

pub fn case(name: &str, images: Vec<PathBuf>, label: PathBuf) -> Case {
    Case { name: name.into(), images, label, subject: None, fold: None }
}

/// A case that never was in a file.
pub fn prepared_case(
    channels: usize,
    dims: [usize; 3],
    image: impl Fn(usize, [usize; 3]) -> f32,
    label: impl Fn([usize; 3]) -> u16,
) -> PreparedCase {
    use unetr_wgpu::train::data::crop::Places;
    let (image, label) = (fill(channels, dims, image), fill(1, dims, |_, at| label(at)));
    let places = Places::new(&image, &label, dims, 0.0);
    PreparedCase { image, label, channels, dims, spacing: [1.0; 3], axis_codes: "RAS".into(), places }
}
