//! Labels against the truth that an expert drew.

use js_sys::{Array, Uint8Array};
use serde::Serialize;

use super::error::WebError;
use crate::metrics::{Presence, evaluate};
use crate::volume::nifti::{LabelName, ReadOptions, read_labels};
use crate::volume::{Affine, LabelMap, SAME_GRID_MM};

/// One label; values that are not finite are null, and `presence` says why.
#[derive(Serialize)]
pub(super) struct Row {
    value: u16,
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
    let files: Vec<Vec<u8>> = truth.iter().map(|f| Uint8Array::new(&f).to_vec()).collect();
    let name = names.first().filter(|n| !n.is_empty()).map_or("the reference", String::as_str);
    let (image, rest) = files.split_first().ok_or_else(|| WebError::new("bad-input", "no reference is given"))?;
    if rest.len() > 1 {
        return Err(WebError::new("bad-input", "give one reference file, or a .hdr with its .img"));
    }
    let read = read_labels(image, rest.first().map(Vec::as_slice), &ReadOptions::default());
    let read = read.map_err(|e| WebError::from(e).about(name))?;
    let truth = read.labels;
    same_grid(labels, &truth, name)?;
    let mut warnings = read.warnings;
    let mut classes: Vec<u16> = known.iter().map(|n| n.value).collect();
    for value in truth.counts().into_keys().filter(|&v| v != 0 && !known.iter().any(|n| n.value == v)) {
        warnings.push(format!("{name} has label {value}, which the model does not know"));
        classes.push(value);
    }
    let (spacing, voxel) = (truth.affine.spacing(), truth.affine.voxel_mm3());
    let all = evaluate(&labels.data, &truth.data, truth.dims, spacing, voxel, &classes)?;
    let finite = |v: f64| v.is_finite().then_some(v);
    let rows = all.into_iter().map(|m| Row {
        value: m.class,
        name: known
            .iter()
            .find(|n| n.value == m.class)
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

fn same_grid(labels: &LabelMap, truth: &LabelMap, name: &str) -> Result<(), WebError> {
    if labels.dims != truth.dims {
        let text =
            format!("{name} has {:?} voxels and the scan {:?}: they must lie on one grid", truth.dims, labels.dims);
        return Err(WebError::new("bad-input", text));
    }
    let moved = labels.affine.max_displacement(&truth.affine, labels.dims);
    if moved > SAME_GRID_MM {
        let text = format!("{name} lies up to {moved:.3} mm beside the scan: they must lie on one grid");
        return Err(WebError::new("bad-input", text));
    }
    Ok(())
}
