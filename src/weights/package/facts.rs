//! What a model does with a scan, in words: every setting, the neutral ones too.

use serde_json::json;

use super::inference::Rule;
use super::input::InputSection;
use super::metadata::{Format, Metadata};
use super::output::{Activation, Resample};
use crate::volume::steps::{NormalizeIntensity, PerChannel, ScaleIntensityRange, Step};

impl Metadata {
    /// Pairs of a name and its value, in the order in which things happen to a scan.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let (input, inference) = (&self.input, &self.inference);
        let [x, y, z] = inference.roi_size;
        let mut facts = vec![
            ("model", format!("{} {}", self.name, self.version)),
            ("licence", if self.licence.is_empty() { "not stated".to_owned() } else { self.licence.clone() }),
            ("channels", input.channels.join(", ")),
        ];
        facts.extend(steps(input));
        let mut windows = format!(
            "{x} x {y} x {z}, overlap {}, {}, sigma_scale {}",
            inference.overlap,
            json!(inference.blend).as_str().unwrap_or_default(),
            inference.sigma_scale
        );
        if inference.windows == Rule::Nnunet {
            windows += ", spread evenly as nnU-Net's";
        }
        facts.push(("windows", windows));
        if !inference.mirror_axes.is_empty() {
            let axes: Vec<String> = inference.mirror_axes.iter().map(usize::to_string).collect();
            facts.push(("mirroring", format!("the mean over all mirrorings along the axes {}", axes.join(", "))));
        }
        if !self.folds.is_empty() {
            facts.push(("folds", format!("the mean over {}", self.folds.join(", "))));
        }
        facts.push(("activation", json!(self.output.activation).as_str().unwrap_or_default().to_owned()));
        if self.output.resample != Resample::Probabilities {
            facts.push(("brought back", json!(self.output.resample).as_str().unwrap_or_default().to_owned()));
        }
        if self.output.activation == Activation::Sigmoid {
            let paints = |r: &super::Region| format!("channel {} paints {}", r.channel, r.value);
            let regions: Vec<String> = self.output.regions.iter().map(paints).collect();
            let above = self.output.threshold;
            facts.push(("regions", format!("{}, later over earlier, above {above}", regions.join(", "))));
        }
        if !self.output.keep_largest_component.is_empty() {
            let values: Vec<String> = self.output.keep_largest_component.iter().map(u16::to_string).collect();
            facts.push(("largest component", format!("of the labels {}", values.join(", "))));
        }
        if let Some(source) = &self.source {
            let made_by = source.made_by.as_ref().map_or(String::new(), |by| format!(" ({by})"));
            facts.push(("source", format!("{} files of {}{made_by}", source.files.len(), source.program)));
        }
        if !self.citation.is_empty() {
            facts.push(("citation", self.citation.clone()));
        }
        facts.extend(self.other().iter().map(|(key, value)| ("other", format!("{key}: {value}"))));
        facts
    }
}

/// The steps in words, those of `unetr/1` each by its name there.
fn steps(input: &InputSection) -> Vec<(&'static str, String)> {
    let as_it_is = || "as it is".to_owned();
    let Some(fixed) = input.write(Format::Fixed) else {
        let numbered = input.preprocess.steps.iter().enumerate();
        return numbered.map(|(at, step)| ("step", format!("{}. {}", at + 1, words(step)))).collect();
    };
    let spacing = input.preprocess.spacing().map(|[x, y, z]| format!("{x} x {y} x {z} mm"));
    let scaling = input.preprocess.steps.iter().find_map(intensity);
    let crop = if fixed.get("crop_foreground") == Some(&json!(true)) { "to the voxels above 0" } else { "none" };
    vec![
        ("orientation", input.preprocess.axcodes().unwrap_or_else(as_it_is)),
        ("spacing", spacing.unwrap_or_else(as_it_is)),
        ("intensity", scaling.unwrap_or_else(as_it_is)),
        ("crop", crop.to_owned()),
    ]
}

/// A step's name and its arguments.
fn words(step: &Step) -> String {
    let arguments = json!(step);
    let given = arguments.as_object().into_iter().flatten().filter(|(key, _)| *key != "transform");
    let given: Vec<String> = given.map(|(key, value)| format!("{key} {value}")).collect();
    format!("{} {}", step.name(), given.join(", ")).trim_end().to_owned()
}

fn intensity(step: &Step) -> Option<String> {
    Some(match step {
        Step::ScaleIntensityRange(ScaleIntensityRange { a_min, a_max, b_min, b_max, clip }) => {
            format!("scale_range from [{a_min}, {a_max}] to [{b_min}, {b_max}], clip {clip}")
        }
        Step::NormalizeIntensity(NormalizeIntensity { nonzero, channel_wise, subtrahend, divisor }) => {
            let given = |value: &Option<PerChannel>, measured: &str| match value {
                Some(value) => json!(value).to_string(),
                None => measured.to_owned(),
            };
            format!(
                "normalize, nonzero {nonzero}, channel_wise {channel_wise}, subtrahend {}, divisor {}",
                given(subtrahend, "the mean"),
                given(divisor, "the standard deviation")
            )
        }
        _ => return None,
    })
}
