//! Volume, place and intensity of each label.
//!
//! ```text
//! volume = voxels |det A| / 1000    centroid = A (mean i, mean j, mean k, 1)
//! std    = sqrt(mean (v - mean v)²)  median  = mean of the two middle values
//! ```
//! `A` is the affine. Sums run in double precision. Voxels that are NaN or infinite are left out of the intensities
//! and counted. A label that does not occur keeps its entry, with 0 voxels and no place.
//!
//! # Units
//! Uncertainty is `-Σ p ln p / ln K` of the class probabilities, spread their standard deviation over passes. Millilitres; mm in RAS+; voxel indices from 0, the box including its ends; the scan's own intensity unit.

use serde::Serialize;
use serde_json::{Map, Value};

use super::ReportError;
use crate::volume::nifti::LabelName;
use crate::volume::{LabelMap, Volume};

/// The voxels of one label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelStatistics {
    pub name: String,
    /// Its value in the label map.
    pub value: u16,
    /// How many voxels have it.
    pub voxels: usize,
    /// Their volume, millilitres.
    pub volume_ml: f64,
    /// Mean position, mm, RAS+.
    pub centroid_mm: Option<[f64; 3]>,
    /// The smallest box around them.
    pub bounding_box: Option<BoundingBox>,
    /// Whether a voxel lies on the border of the scan, so that the structure may go on outside.
    pub touches_border: bool,
    /// One entry per channel of the scan.
    pub intensity: Vec<Intensity>,
    /// Mean of the model's uncertainty over its voxels, from 0 to 1, if that was asked for and there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertainty: Option<f64>,
    /// Mean of the spread of the model's passes over its voxels, from 0 to 0.5, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

/// A box of voxels, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BoundingBox {
    /// Lowest index along i, j, k.
    pub min: [usize; 3],
    /// Highest index along i, j, k.
    pub max: [usize; 3],
}

/// The scan's values within a label; `None` where no voxel is finite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Intensity {
    pub channel: String,
    pub mean: Option<f64>,
    /// Standard deviation of the population.
    pub std: Option<f64>,
    /// Least value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    pub median: Option<f64>,
    /// Voxels left out because they are NaN or infinite.
    pub non_finite: usize,
}

/// All labels of a segmentation, in ascending order of their value.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// One entry per label.
    pub labels: Vec<LabelStatistics>,
}

/// Describes every label of `names`, and every other value that occurs (as `class_N`).
///
/// # Shapes
/// `labels` and `scan` on one grid; `channels` names the scan's channels, missing names become `channel_N`.
///
/// # Errors
/// [`ReportError::Grid`] if the grids differ in size.
pub fn statistics(
    labels: &LabelMap,
    scan: &Volume,
    names: &[LabelName],
    channels: &[String],
) -> Result<Statistics, ReportError> {
    if labels.dims != scan.dims || labels.data.len() != scan.voxels() {
        return Err(ReportError::Grid { labels: labels.dims, scan: scan.dims });
    }
    let mut all: Vec<(u16, String)> = names.iter().map(|n| (n.value, n.name.clone())).collect();
    for value in labels.counts().into_keys().filter(|&v| v != 0) {
        if !all.iter().any(|(v, _)| *v == value) {
            all.push((value, format!("class_{value}")));
        }
    }
    all.sort();
    all.dedup_by_key(|(value, _)| *value);
    let mut slot = vec![usize::MAX; 1 << 16];
    for (i, (value, _)) in all.iter().enumerate() {
        slot[usize::from(*value)] = i;
    }
    let shapes = shapes(labels, &slot, all.len());
    let mut intensities: Vec<Vec<Intensity>> = vec![Vec::new(); all.len()];
    for c in 0..scan.channels {
        let name = channels.get(c).cloned().unwrap_or_else(|| format!("channel_{}", c + 1));
        for (values, out) in by_label(labels, scan.channel(c), &slot, &shapes).into_iter().zip(&mut intensities) {
            out.push(intensity(name.clone(), values));
        }
    }
    let voxel_ml = labels.affine.voxel_mm3() / 1000.0;
    let labels = all
        .into_iter()
        .zip(shapes.iter().zip(intensities))
        .map(|((value, name), (shape, intensity))| LabelStatistics {
            name,
            value,
            voxels: shape.voxels,
            volume_ml: shape.voxels as f64 * voxel_ml,
            centroid_mm: shape.centroid().map(|c| labels.affine.apply(c)),
            bounding_box: shape.bounding_box,
            touches_border: shape.touches_border(labels.dims),
            intensity,
            uncertainty: None,
            spread: None,
        })
        .collect();
    Ok(Statistics { labels })
}

#[derive(Clone, Copy, Default)]
struct Shape {
    voxels: usize,
    sum: [u128; 3],
    bounding_box: Option<BoundingBox>,
}

impl Shape {
    fn add(&mut self, index: [usize; 3]) {
        self.voxels += 1;
        let b = self.bounding_box.get_or_insert(BoundingBox { min: index, max: index });
        for (a, &at) in index.iter().enumerate() {
            self.sum[a] += at as u128;
            b.min[a] = b.min[a].min(at);
            b.max[a] = b.max[a].max(at);
        }
    }

    fn centroid(&self) -> Option<[f64; 3]> {
        (self.voxels > 0).then(|| self.sum.map(|s| s as f64 / self.voxels as f64))
    }

    fn touches_border(&self, dims: [usize; 3]) -> bool {
        self.bounding_box.is_some_and(|b| (0..3).any(|a| b.min[a] == 0 || b.max[a] + 1 == dims[a]))
    }
}

fn shapes(labels: &LabelMap, slot: &[usize], count: usize) -> Vec<Shape> {
    let mut shapes = vec![Shape::default(); count];
    let [_, ny, nz] = labels.dims;
    for (at, &value) in labels.data.iter().enumerate() {
        if let Some(shape) = shapes.get_mut(slot[usize::from(value)]) {
            shape.add([at / nz / ny, at / nz % ny, at % nz]);
        }
    }
    shapes
}

/// The values of each label, sorted into as many lists.
fn by_label(labels: &LabelMap, channel: &[f32], slot: &[usize], shapes: &[Shape]) -> Vec<Vec<f32>> {
    let mut values: Vec<Vec<f32>> = shapes.iter().map(|s| Vec::with_capacity(s.voxels)).collect();
    for (&label, &value) in labels.data.iter().zip(channel) {
        if let Some(list) = values.get_mut(slot[usize::from(label)]) {
            list.push(value);
        }
    }
    values
}

fn intensity(channel: String, mut values: Vec<f32>) -> Intensity {
    let all = values.len();
    values.retain(|v| v.is_finite());
    let n = values.len() as f64;
    let some = |v: f64| (!values.is_empty()).then_some(v);
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n;
    let extreme = |pick: fn(f32, f32) -> f32| values.iter().copied().reduce(pick).map(f64::from);
    let (min, max) = (extreme(f32::min), extreme(f32::max));
    let (mean, std) = (some(mean), some(variance.sqrt()));
    let non_finite = all - values.len();
    Intensity { channel, mean, std, min, max, median: median(&mut values), non_finite }
}

fn median(values: &mut [f32]) -> Option<f64> {
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    if values.is_empty() {
        return None;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(half, f32::total_cmp);
    let upper = f64::from(middle);
    if odd {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    Some((f64::from(lower) + upper) / 2.0)
}

impl Statistics {
    /// Adds the mean of the model's uncertainty over each label's voxels.
    ///
    /// # Errors
    /// [`ReportError::Grid`] if the grids differ in size.
    pub fn add_uncertainty(&mut self, labels: &LabelMap, uncertainty: &Volume) -> Result<(), ReportError> {
        let means = means_by_label(labels, uncertainty)?;
        self.labels.iter_mut().for_each(|label| label.uncertainty = means[usize::from(label.value)]);
        Ok(())
    }

    /// Adds the mean of the spread of the model's passes over each label's voxels.
    ///
    /// # Errors
    /// [`ReportError::Grid`] if the grids differ in size.
    pub fn add_spread(&mut self, labels: &LabelMap, spread: &Volume) -> Result<(), ReportError> {
        let means = means_by_label(labels, spread)?;
        self.labels.iter_mut().for_each(|label| label.spread = means[usize::from(label.value)]);
        Ok(())
    }

    /// An object keyed by label name; of equal names the later ones get their value appended.
    pub fn to_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for label in &self.labels {
            let key = match object.contains_key(&label.name) {
                true => format!("{}_{}", label.name, label.value),
                false => label.name.clone(),
            };
            object.insert(key, serde_json::json!(label));
        }
        object
    }

    /// The object as indented JSON text.
    pub fn to_json(&self) -> String {
        let text = serde_json::to_string_pretty(&self.to_object());
        // Strings and numbers always serialise.
        text.unwrap_or_default() + "\n"
    }

    /// Long form: one row per label, channel and measure, `label,label_value,channel,measure,unit,value`.
    pub fn to_csv(&self) -> String {
        let mut csv = String::from("label,label_value,channel,measure,unit,value\n");
        for label in &self.labels {
            let mut row = |channel: &str, measure: &str, unit: &str, value: String| {
                let fields = [&label.name, &label.value.to_string(), channel, measure, unit, &value];
                csv.push_str(&csv_row(&fields));
            };
            row("", "voxels", "1", label.voxels.to_string());
            row("", "volume", "ml", label.volume_ml.to_string());
            for (a, axis) in ["x", "y", "z"].iter().enumerate() {
                let at = label.centroid_mm.map(|c| c[a]);
                row("", &format!("centroid_{axis}"), "mm", number(at));
            }
            for (a, axis) in ["i", "j", "k"].iter().enumerate() {
                let ends = label.bounding_box.map(|b| (b.min[a], b.max[a]));
                row("", &format!("min_{axis}"), "voxel", ends.map_or_else(String::new, |e| e.0.to_string()));
                row("", &format!("max_{axis}"), "voxel", ends.map_or_else(String::new, |e| e.1.to_string()));
            }
            row("", "touches_border", "", label.touches_border.to_string());
            for (measure, mean) in [("uncertainty", label.uncertainty), ("spread", label.spread)] {
                if let Some(mean) = mean {
                    row("", measure, "1", mean.to_string());
                }
            }
            for i in &label.intensity {
                let measures = [("mean", i.mean), ("std", i.std), ("min", i.min), ("max", i.max), ("median", i.median)];
                for (measure, value) in measures {
                    row(&i.channel, measure, "intensity", number(value));
                }
            }
        }
        csv
    }
}

/// Mean of a map over the voxels of each label value; none where there are no voxels.
fn means_by_label(labels: &LabelMap, map: &Volume) -> Result<Vec<Option<f64>>, ReportError> {
    if labels.dims != map.dims {
        return Err(ReportError::Grid { labels: labels.dims, scan: map.dims });
    }
    let mut sums = vec![(0.0_f64, 0_usize); 1 << 16];
    for (label, value) in labels.data.iter().zip(map.channel(0)) {
        let (sum, count) = &mut sums[usize::from(*label)];
        *sum += f64::from(*value);
        *count += 1;
    }
    Ok(sums.into_iter().map(|(sum, count)| (count > 0).then(|| sum / count as f64)).collect())
}

/// Empty where there is no value.
fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

/// One line of CSV (RFC 4180): fields with commas, quotes or line ends are quoted.
pub fn csv_row(fields: &[impl AsRef<str>]) -> String {
    let quote = |field: &str| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    };
    let quoted: Vec<String> = fields.iter().map(|f| quote(f.as_ref())).collect();
    quoted.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    fn name(value: u16, name: &str) -> LabelName {
        LabelName { value, name: name.into(), color: [0; 3], codes: None }
    }

    /// 4 x 3 x 2 voxels of 2 x 3 x 4 mm, origin (10, 20, 30), x running to the left.
    fn case() -> (LabelMap, Volume) {
        let affine = Affine::from_rows([[-2.0, 0.0, 0.0, 10.0], [0.0, 3.0, 0.0, 20.0], [0.0, 0.0, 4.0, 30.0]]);
        let mut data = vec![0; 24];
        let at = |i: usize, j: usize, k: usize| (i * 3 + j) * 2 + k;
        (data[at(1, 1, 0)], data[at(2, 1, 0)], data[at(2, 1, 1)]) = (1, 1, 1);
        data[at(3, 2, 1)] = 7;
        let mut values: Vec<f32> = (0..24).map(|v| v as f32).collect();
        values.extend((0..24).map(|v| -(v as f32)));
        values[at(3, 2, 1)] = f32::NAN;
        let labels = LabelMap::new(data, [4, 3, 2], affine).expect("labels");
        (labels, Volume::new(values, 2, [4, 3, 2], affine).expect("scan"))
    }

    #[test]
    fn numbers_of_a_small_case() {
        let (labels, scan) = case();
        let made =
            statistics(&labels, &scan, &[name(1, "spleen"), name(2, "liver")], &["CT".into()]).expect("one grid");
        let [spleen, liver, other] = &made.labels[..] else { panic!("{made:?}") };
        assert_eq!((spleen.voxels, spleen.value), (3, 1));
        assert!((spleen.volume_ml - 0.072).abs() < 1e-12, "{}", spleen.volume_ml);
        let c = spleen.centroid_mm.expect("a place");
        for (got, want) in c.iter().zip([10.0 - 2.0 * 5.0 / 3.0, 23.0, 30.0 + 4.0 / 3.0]) {
            assert!((got - want).abs() < 1e-12, "{c:?}");
        }
        assert_eq!(spleen.bounding_box, Some(BoundingBox { min: [1, 1, 0], max: [2, 1, 1] }));
        assert!(spleen.touches_border);
        // Voxels 8, 14, 15.
        let i = &spleen.intensity[0];
        assert_eq!((i.channel.as_str(), i.min, i.max, i.median), ("CT", Some(8.0), Some(15.0), Some(14.0)));
        assert!((i.mean.expect("finite") - 37.0 / 3.0).abs() < 1e-12);
        assert!((i.std.expect("finite") - (86.0f64 / 9.0).sqrt()).abs() < 1e-12, "{:?}", i.std);
        assert_eq!((spleen.intensity[1].channel.as_str(), spleen.intensity[1].median), ("channel_2", Some(-14.0)));
        assert_eq!((liver.voxels, liver.centroid_mm, liver.touches_border), (0, None, false));
        assert_eq!((other.name.as_str(), other.intensity[0].mean, other.intensity[0].non_finite), ("class_7", None, 1));
    }

    #[test]
    fn medians_of_even_counts_lie_between() {
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut [5.0]), Some(5.0));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn json_and_csv_hold_every_label() {
        let (labels, scan) = case();
        let made =
            statistics(&labels, &scan, &[name(1, "a, \"b\""), name(2, "x"), name(3, "x")], &[]).expect("one grid");
        let json: Value = serde_json::from_str(&made.to_json()).expect("JSON");
        assert_eq!(json["a, \"b\""]["voxels"], 3);
        assert_eq!(json["x_3"]["value"], 3);
        let csv = made.to_csv();
        assert!(csv.contains("\"a, \"\"b\"\"\",1,,voxels,1,3\n"), "{csv}");
        assert!(csv.contains("class_7,7,channel_1,mean,intensity,\n"), "{csv}");
        assert_eq!(csv.lines().count(), 1 + 4 * (12 + 2 * 5));
    }

    #[test]
    fn other_grids_are_refused() {
        let (labels, _) = case();
        let scan = Volume::new(vec![0.0; 8], 1, [2, 2, 2], Affine::IDENTITY).expect("scan");
        assert!(statistics(&labels, &scan, &[], &[]).is_err(), "grids of other sizes");
    }
}
