//! The package's `input` section: what a scan must be made into before the network sees it.
//!
//! `steps` is the ordered list of transforms ([`crate::volume::steps`]). Packages of format `unetr/1` give four keys instead,
//! whose order is fixed: orientation, spacing, intensity, foreground crop; null switches one off. They are read as the list that
//! they stand for, and a list that they can say is written as they are.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::error::WeightsError;
use super::metadata::Format;
use crate::fields::{FieldError, Section, from_json};
use crate::volume::Preprocess;
use crate::volume::steps::{
    CropForeground, CropToNonzero, Normalization, NormalizeIntensity, Orient, Resampling, Resize, ScaleIntensity,
    ScaleIntensityRange, Spacing, Step, Transpose,
};

/// Channels and preprocessing.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSection {
    /// What each channel shows, in the network's order.
    pub channels: Vec<String>,
    /// The steps that make a scan ready for the network.
    pub preprocess: Preprocess,
}

/// `intensity` of `unetr/1`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Intensity {
    ScaleRange(ScaleIntensityRange),
    Normalize(NormalizeIntensity),
}

impl InputSection {
    pub(super) fn read(fields: &Section<'_>, format: Format) -> Result<Self, WeightsError> {
        let channels = fields.required("channels")?;
        let steps = match format {
            Format::Fixed => fixed(fields)?,
            Format::Steps => listed(fields)?,
        };
        fields.finish()?;
        Ok(Self { channels, preprocess: Preprocess { steps } })
    }

    /// The section as the package keeps it.
    #[must_use]
    pub fn to_object(&self) -> Map<String, Value> {
        [Format::Fixed, Format::Steps].into_iter().find_map(|format| self.write(format)).unwrap_or_default()
    }

    /// The section in this format, if it can say it.
    pub(super) fn write(&self, format: Format) -> Option<Map<String, Value>> {
        let mut section = Map::from_iter([("channels".to_owned(), json!(self.channels))]);
        match format {
            Format::Steps => {
                section.insert("steps".into(), json!(self.preprocess.steps));
            }
            Format::Fixed => {
                let mut steps = self.preprocess.steps.iter().peekable();
                let orientation = steps.next_if(|step| matches!(step, Step::Orient(_)));
                let plain = |to: &Spacing| *to == Spacing::to(to.pixdim) && to.pixdim.iter().all(|mm| *mm > 0.0);
                let spacing = steps.next_if(|step| matches!(step, Step::Spacing(to) if plain(to)));
                let intensity =
                    steps.next_if(|step| matches!(step, Step::ScaleIntensityRange(_) | Step::NormalizeIntensity(_)));
                let crop = steps
                    .next_if(|step| matches!(step, Step::CropForeground(crop) if *crop == CropForeground::default()));
                if steps.next().is_some() {
                    return None;
                }
                let intensity = intensity.map(|step| match step {
                    Step::ScaleIntensityRange(scale) => json!(Intensity::ScaleRange(*scale)),
                    Step::NormalizeIntensity(normalize) => json!(Intensity::Normalize(normalize.clone())),
                    _ => Value::Null,
                });
                let axcodes = orientation.map(|step| match step {
                    Step::Orient(orient) => json!(orient.axcodes),
                    _ => Value::Null,
                });
                let pixdim = spacing.map(|step| match step {
                    Step::Spacing(to) => json!(to.pixdim),
                    _ => Value::Null,
                });
                section.insert("orientation".into(), json!(axcodes));
                section.insert("spacing".into(), json!(pixdim));
                section.insert("crop_foreground".into(), json!(crop.is_some()));
                section.insert("intensity".into(), json!(intensity));
            }
        }
        Some(section)
    }

    pub(super) fn validate(&self, in_channels: usize, format: Format) -> Result<(), WeightsError> {
        if self.channels.len() != in_channels {
            let problem = format!("it names {} channels, network.in_channels is {in_channels}", self.channels.len());
            return Err(WeightsError::field("input.channels", problem));
        }
        let checked = self.preprocess.check(in_channels);
        checked.map_err(|(at, error)| {
            let field = match (format, self.preprocess.steps.get(at)) {
                (Format::Fixed, Some(Step::Orient(_))) => "input.orientation".to_owned(),
                (Format::Fixed, Some(Step::Spacing(_))) => "input.spacing".to_owned(),
                (Format::Fixed, _) => "input.intensity".to_owned(),
                (Format::Steps, _) => format!("input.steps[{at}]"),
            };
            WeightsError::field(field, error.to_string())
        })
    }
}

/// The list that the four keys of `unetr/1` stand for.
fn fixed(fields: &Section<'_>) -> Result<Vec<Step>, WeightsError> {
    let orientation: Option<String> = fields.required("orientation")?;
    let spacing: Option<[f64; 3]> = fields.required("spacing")?;
    let crop: bool = fields.required("crop_foreground")?;
    let intensity: Option<Intensity> = fields.required("intensity")?;
    if let Some(spacing) = spacing
        && !spacing.iter().all(|mm| (1e-3..=1e3).contains(mm))
    {
        let problem = format!("{spacing:?} must be three lengths between 0.001 and 1000 mm");
        return Err(WeightsError::field("input.spacing", problem));
    }
    if let Some(Intensity::ScaleRange(ScaleIntensityRange { a_min, a_max, .. })) = &intensity
        && a_min >= a_max
    {
        return Err(WeightsError::field("input.intensity", format!("a_min {a_min} must be less than a_max {a_max}")));
    }
    let intensity = intensity.map(|intensity| match intensity {
        Intensity::ScaleRange(scale) => scale.into(),
        Intensity::Normalize(normalize) => normalize.into(),
    });
    let steps = [
        orientation.map(|codes| Orient::to(codes).into()),
        spacing.map(|mm| Spacing::to(mm).into()),
        intensity,
        crop.then(|| CropForeground::default().into()),
    ];
    Ok(steps.into_iter().flatten().collect())
}

/// `steps` of `unetr/2`.
fn listed(fields: &Section<'_>) -> Result<Vec<Step>, WeightsError> {
    let list: Vec<Map<String, Value>> = fields.required("steps")?;
    let path = fields.path("steps");
    let steps = list
        .into_iter()
        .enumerate()
        .map(|(at, object)| step(object).map_err(|error| error.within(&format!("[{at}]")).within(&path)));
    Ok(steps.collect::<Result<_, FieldError>>()?)
}

/// One transform, by its name.
fn step(mut object: Map<String, Value>) -> Result<Step, FieldError> {
    let name = match object.remove("transform") {
        Some(Value::String(name)) => name,
        Some(other) => return Err(FieldError::value("transform", format_args!("expected a name, found {other}"))),
        None => {
            let slip = Section::root(&object).slip("transform");
            return Err(slip.unwrap_or_else(|| FieldError::missing("transform")));
        }
    };
    fn read<T: DeserializeOwned + Into<Step>>(object: Map<String, Value>) -> Result<Step, FieldError> {
        from_json::<T>(&Value::Object(object)).map(Into::into)
    }
    match name.as_str() {
        "Orientation" => read::<Orient>(object),
        "Transpose" => read::<Transpose>(object),
        "Spacing" => read::<Spacing>(object),
        "Resampling" => read::<Resampling>(object),
        "Resize" => read::<Resize>(object),
        "CropForeground" => read::<CropForeground>(object),
        "CropToNonzero" => read::<CropToNonzero>(object),
        "ScaleIntensityRange" => read::<ScaleIntensityRange>(object),
        "ScaleIntensity" => read::<ScaleIntensity>(object),
        "NormalizeIntensity" => read::<NormalizeIntensity>(object),
        "Normalization" => read::<Normalization>(object),
        other => {
            let problem = FieldError::unknown_value(other, Step::NAMES);
            Err(problem.within("transform"))
        }
    }
}
