//! What a model does with a scan, in words: every setting, the neutral ones too.

use serde_json::json;

use super::input::{Intensity, PerChannel};
use super::metadata::Metadata;
use super::output::Activation;

impl Metadata {
    /// Pairs of a name and its value, in the order in which things happen to a scan.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let (input, inference) = (&self.input, &self.inference);
        let as_it_is = || "as it is".to_owned();
        let spacing = input.spacing.map(|[x, y, z]| format!("{x} x {y} x {z} mm"));
        let [x, y, z] = inference.roi_size;
        let mut facts = vec![
            ("model", format!("{} {}", self.name, self.version)),
            ("licence", if self.licence.is_empty() { "not stated".to_owned() } else { self.licence.clone() }),
            ("channels", input.channels.join(", ")),
            ("orientation", input.orientation.clone().unwrap_or_else(as_it_is)),
            ("spacing", spacing.unwrap_or_else(as_it_is)),
            ("intensity", input.intensity.as_ref().map_or_else(as_it_is, intensity)),
            ("crop", if input.crop_foreground { "to the voxels above 0" } else { "none" }.to_owned()),
            (
                "windows",
                format!(
                    "{x} x {y} x {z}, overlap {}, {}, sigma_scale {}",
                    inference.overlap,
                    json!(inference.blend).as_str().unwrap_or_default(),
                    inference.sigma_scale
                ),
            ),
            ("activation", json!(self.output.activation).as_str().unwrap_or_default().to_owned()),
        ];
        if self.output.activation == Activation::Sigmoid {
            let paints = |r: &super::Region| format!("channel {} paints {}", r.channel, r.value);
            let regions: Vec<String> = self.output.regions.iter().map(paints).collect();
            facts.push(("regions", format!("{}, later over earlier", regions.join(", "))));
        }
        if !self.citation.is_empty() {
            facts.push(("citation", self.citation.clone()));
        }
        facts.extend(self.other().iter().map(|(key, value)| ("other", format!("{key}: {value}"))));
        facts
    }
}

fn intensity(intensity: &Intensity) -> String {
    match intensity {
        Intensity::ScaleRange { a_min, a_max, b_min, b_max, clip } => {
            format!("scale_range from [{a_min}, {a_max}] to [{b_min}, {b_max}], clip {clip}")
        }
        Intensity::Normalize { nonzero, channel_wise, subtrahend, divisor } => {
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
    }
}
