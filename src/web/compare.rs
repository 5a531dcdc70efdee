//! Labels against the truth that an expert drew.

use js_sys::Array;
use serde::Serialize;

use super::error::WebError;
use super::scan::input_files;
use crate::metrics::{Presence, evaluate};
use crate::volume::nifti::LabelName;
use crate::volume::study::LabelFiles;
use crate::volume::{Affine, LabelMap, StudyOptions};

/// One label; values that are not finite are null, and `presence` says why.
#[derive(Serialize)]
pub(super) struct Row {
    value: u32,
    name: String,
    dice: Option<f64>,
    hd95_mm: Option<f64>,
    assd_mm: Option<f64>,
    prediction_ml: f64,
    truth_ml: f64,
    presence: &'static str,
}

/// What was compared, and what is doubtful about it.
#[derive(Serialize)]
pub(super) struct Comparison {
    labels: Vec<Row>,
    warnings: Vec<String>,
}

/// Labels as JavaScript has them.
pub(super) fn label_map(labels: &[u8], dims: &[usize], affine: &[f64]) -> Result<LabelMap, WebError> {
    let wrong = |what: &str| WebError::new("bad-input", format!("result.{what}"));
    let dims = dims.try_into().map_err(|_| wrong("dims must be three numbers"))?;
    let rows = affine.as_chunks::<4>().0.try_into().map_err(|_| wrong("affine must be four rows of four numbers"))?;
    Ok(LabelMap::new(labels.iter().map(|&l| u16::from(l)).collect(), dims, Affine(rows))?)
}

/// Dice, distances and volumes of every label that the model knows or the truth has.
pub(super) fn compare(
    labels: &LabelMap,
    truth: &Array,
    names: &[String],
    known: &[LabelName],
) -> Result<Comparison, WebError> {
    let name = names.first().filter(|n| !n.is_empty()).map_or("the reference", String::as_str);
    let mut names = names.to_vec();
    match names.first_mut() {
        Some(first) => name.clone_into(first),
        None => names.push(name.to_owned()),
    }
    let files = input_files(truth, &names);
    let read = LabelFiles::dropped(files)?.read(&StudyOptions::default())?;
    let mut warnings = read.warnings.clone();
    let (truth, told) = read.on_grid(&labels.grid(), ["the scan", name])?;
    let truth = truth.narrow().map_err(|e| e.of(name))?;
    warnings.extend(told);
    let mut classes: Vec<u16> = known.iter().map(|n| n.value).collect();
    for value in truth.counts().into_keys().filter(|&v| v != 0 && !known.iter().any(|n| n.value == v)) {
        warnings.push(format!("{name} has label {value}, which the model does not know"));
        classes.push(value);
    }
    if truth.dims.contains(&1) {
        warnings.push("one of the axes has one voxel: distances are those of the flat masks".to_owned());
    }
    let (spacing, voxel) = (truth.affine.spacing(), truth.affine.voxel_mm3());
    let all = evaluate(&labels.data, &truth.data, truth.dims, spacing, voxel, &classes)?;
    let finite = |v: f64| v.is_finite().then_some(v);
    let rows = all.into_iter().map(|m| Row {
        value: m.class,
        name: known
            .iter()
            .find(|n| u32::from(n.value) == m.class)
            .map_or_else(|| format!("class_{}", m.class), |n| n.name.clone()),
        dice: finite(m.dice),
        hd95_mm: finite(m.hd95),
        assd_mm: finite(m.assd),
        prediction_ml: m.prediction_ml,
        truth_ml: m.truth_ml,
        presence: match m.presence {
            Presence::Both => "both",
            Presence::Missed => "missed",
            Presence::FalseAlarm => "false alarm",
            Presence::Neither => "neither",
        },
    });
    Ok(Comparison { labels: rows.collect(), warnings })
}
