//! How good the weights are: the package as it would be shipped, run over the validation cases by sliding windows, on the
//! scans' own grids.

use std::ops::ControlFlow;
use std::time::Instant;

use crate::dataset::Case;
use crate::gpu::Gpu;
use crate::infer::{InferError, Progress, SegmentOptions, Segmenter};
use crate::metrics;
use crate::report::label_names;
use crate::report::preview::{PreviewOptions, Window, comparison};
use crate::train::data::{RawCase, Source};
use crate::train::log::{CaseRecord, Overlay, ValidationRecord};
use crate::train::{Recipe, TrainError};
use crate::volume::LabelMap;
use crate::volume::nifti::LabelName;
use crate::weights::package::{Metadata, Package};

/// What is scored: one mask of prediction and truth per class or region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scored {
    pub name: String,
    /// Label values of the truth that make it up.
    values: Vec<u16>,
    /// For a region its channel; for a class its value.
    channel: usize,
}

/// The classes of a softmax network without the background, or the regions of a sigmoid one.
pub fn scored(recipe: &Recipe, source: &Source) -> Vec<Scored> {
    let metadata = &recipe.metadata;
    let regions = source.target().regions();
    let names = label_names(&metadata.output, metadata.network.out_channels());
    if regions.is_empty() {
        let class = |n: LabelName| Scored { name: n.name, values: vec![n.value], channel: usize::from(n.value) };
        return names.into_iter().map(class).collect();
    }
    let region = |(channel, values): (usize, &Vec<u16>)| {
        let named = recipe.data.regions.iter().find(|r| r.channel == channel).and_then(|r| r.name.clone());
        let name = named.unwrap_or_else(|| format!("region_{channel}"));
        Scored { name, values: values.clone(), channel }
    };
    regions.iter().enumerate().map(region).collect()
}

/// Runs a package over cases and compares with their truth.
pub struct Validation<'a> {
    /// Where to run it.
    pub gpu: &'a Gpu,
    pub recipe: &'a Recipe,
    /// How cases are read.
    pub source: &'a Source,
    pub cases: &'a [Case],
    /// Whether to measure surface distances too.
    pub surface: bool,
}

impl Validation<'_> {
    /// Scores of every case, and pictures of the best, the median and the worst; `None` if `progress` stopped it.
    ///
    /// # Errors
    /// A case cannot be read, or the device failed.
    pub async fn run(
        &self,
        package: &Package,
        step: u64,
        progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<(ValidationRecord, Vec<Overlay>)>, TrainError> {
        let begin = Instant::now();
        let scored = scored(self.recipe, self.source);
        let options = SegmentOptions {
            overlap: self.recipe.validation.overlap,
            keep_probabilities: !self.source.target().regions().is_empty(),
            ..SegmentOptions::default()
        };
        let mut segmenter = Segmenter::new(self.gpu, package, options).await?;
        let mut results = Vec::with_capacity(self.cases.len());
        for (done, case) in self.cases.iter().enumerate() {
            if progress(done).is_break() {
                return Ok(None);
            }
            let Some(result) = self.case(&mut segmenter, case, &scored, &mut |_| progress(done)).await? else {
                return Ok(None);
            };
            results.push(result);
        }
        let names: Vec<String> = scored.into_iter().map(|s| s.name).collect();
        let (cases, mut pictures): (Vec<CaseRecord>, Vec<Vec<u8>>) = results.into_iter().unzip();
        let record = ValidationRecord::from_cases(step, &names, cases, begin.elapsed().as_secs_f64());
        let overlay = |(index, rank): (usize, &str)| {
            let (case, png) = (self.cases.get(index)?, std::mem::take(pictures.get_mut(index)?));
            Some(Overlay { case: case.name.clone(), title: rank.to_owned(), png })
        };
        let overlays = record.examples().into_iter().filter_map(overlay).collect();
        Ok(Some((record, overlays)))
    }

    /// Scores of one case, and the picture that is shown if it is the best, the median or the worst: small, where label maps
    /// of all cases would not be.
    async fn case(
        &self,
        segmenter: &mut Segmenter,
        case: &Case,
        scored: &[Scored],
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<(CaseRecord, Vec<u8>)>, TrainError> {
        let raw = self.source.read(case)?;
        let prepared = segmenter.prepare(&raw.volume)?;
        let made = match segmenter.run(&prepared, progress).await {
            Err(InferError::Cancelled { .. }) => return Ok(None),
            made => made?,
        };
        let (dims, spacing) = (raw.labels.dims, raw.labels.affine.spacing());
        let mut record = CaseRecord { case: case.name.clone(), ..CaseRecord::default() };
        for s in scored {
            let truth: Vec<u16> = raw.labels.data.iter().map(|v| u16::from(s.values.contains(v))).collect();
            let prediction: Vec<u16> = match &made.probabilities {
                Some(p) => p.channel(s.channel).iter().map(|p| u16::from(*p > 0.5)).collect(),
                None => made.labels.data.iter().map(|v| u16::from(s.values.contains(v))).collect(),
            };
            record.dice.push(metrics::overlap(&prediction, &truth, 1).dice());
            if self.surface {
                let distance = metrics::surface_distance(&prediction, &truth, dims, spacing, 1);
                record
                    .hd95
                    .push(distance.map_err(|source| TrainError::Metrics { case: case.name.clone(), source })?.hd95);
            }
        }
        let title = format!("{}: Dice {:.3}", case.name, record.mean_dice());
        let png = picture(self.recipe, &raw, &made.labels, &title)?;
        Ok(Some((record, png)))
    }
}

/// Truth and prediction.
fn picture(recipe: &Recipe, raw: &RawCase, prediction: &LabelMap, title: &str) -> Result<Vec<u8>, TrainError> {
    let Metadata { network, input, output, .. } = &recipe.metadata;
    let window = input.preprocess.window().map(|[low, high]| Window { low, high });
    let channel_name = input.channels.first().map_or("channel 1", String::as_str);
    let names = label_names(output, network.out_channels());
    let options = PreviewOptions { title, channel: 0, channel_name, window, names: &names };
    Ok(comparison(&raw.labels, prediction, &raw.volume, &options)?)
}
