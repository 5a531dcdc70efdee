//! What is done to labels after the network: some kept, small and stray components removed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::console::fact;
use super::error::CliError;
use super::files::file_name;
use crate::fields::nearest;
use crate::volume::LabelMap;
use crate::volume::components::{KeepRule, remove_components};
use crate::volume::label_file::LabelFormat;
use crate::volume::nifti::LabelName;

/// Which labels are written, and what of them.
#[derive(Clone, Debug, Args)]
pub(super) struct PostprocessArgs {
    /// Labels to write, by name or value; all others become background [default: all].
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    labels: Vec<String>,
    /// Also write a file of 0 and 1 for each label, OUT.LABEL.nii.gz.
    #[arg(long)]
    split_labels: bool,
    /// Keep only the largest connected component of each label, or of those named; voxels that touch by a face, an edge
    /// or a corner are connected.
    #[arg(long, value_name = "A,B", num_args = 0.., require_equals = true, value_delimiter = ',')]
    largest_component: Option<Vec<String>>,
    /// Remove connected components smaller than this, in millilitres.
    #[arg(long, value_name = "ML", value_parser = millilitres)]
    min_size: Option<f64>,
}

fn millilitres(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "a number of millilitres is needed, such as 0.5".to_owned())?;
    match value.is_finite() && value > 0.0 {
        true => Ok(value),
        false => Err("it must be above 0".to_owned()),
    }
}

/// The options as a model's labels resolve them.
pub(super) struct Postprocess {
    /// The labels that are written.
    pub names: Vec<LabelName>,
    /// Whether each gets a file of its own.
    pub split: bool,
    kept: Option<BTreeSet<u16>>,
    rules: BTreeMap<u16, KeepRule>,
}

impl PostprocessArgs {
    /// # Errors
    /// A label that the model does not give.
    pub fn resolve(&self, names: &[LabelName]) -> Result<Postprocess, CliError> {
        let kept = match self.labels.is_empty() {
            true => None,
            false => Some(find_all("--labels", &self.labels, names)?),
        };
        let names: Vec<LabelName> =
            names.iter().filter(|n| kept.as_ref().is_none_or(|kept| kept.contains(&n.value))).cloned().collect();
        let largest = match &self.largest_component {
            None => BTreeSet::new(),
            Some(list) if list.is_empty() => names.iter().map(|n| n.value).collect(),
            Some(list) => find_all("--largest-component", list, &names)?,
        };
        let rules = names.iter().map(|n| {
            let rule = KeepRule { largest: largest.contains(&n.value), min_ml: self.min_size.unwrap_or(0.0) };
            (n.value, rule)
        });
        let rules = rules.filter(|(_, rule)| *rule != KeepRule::default()).collect();
        Ok(Postprocess { names, split: self.split_labels, kept, rules })
    }
}

impl Postprocess {
    /// Changes the labels, and tells what was done to each as the record keeps it.
    pub fn apply(&self, labels: &mut LabelMap) -> Vec<Value> {
        let mut told = self.settings();
        if let Some(kept) = &self.kept {
            labels.data.iter_mut().filter(|v| !kept.contains(v)).for_each(|v| *v = 0);
        }
        if self.rules.is_empty() {
            return told;
        }
        let removed = remove_components(labels, &self.rules);
        for entry in &mut told {
            let value = entry["label_value"].as_u64().and_then(|v| u16::try_from(v).ok());
            let Some(gone) = value.and_then(|value| removed.get(&value)) else { continue };
            entry["removed_components"] = json!(gone.components);
            entry["removed_voxels"] = json!(gone.voxels);
            let label = entry["label"].as_str().unwrap_or_default();
            if gone.components > 0 {
                fact("removed", format!("{label}: {} component(s) of {} voxels", gone.components, gone.voxels));
            }
        }
        told
    }

    /// The steps without their outcome.
    pub fn settings(&self) -> Vec<Value> {
        let mut steps = Vec::new();
        if self.kept.is_some() {
            let names: Vec<&str> = self.names.iter().map(|n| n.name.as_str()).collect();
            steps.push(json!({"step": "labels", "labels": names}));
        }
        for name in &self.names {
            if let Some(rule) = self.rules.get(&name.value) {
                steps.push(json!({
                    "step": "components", "connectivity": 26, "label": name.name, "label_value": name.value,
                    "largest_component": rule.largest, "min_size_ml": rule.min_ml,
                }));
            }
        }
        steps
    }

    /// The files of single labels beside `output`, with their values.
    pub fn files(&self, output: &Path) -> Vec<(PathBuf, u16)> {
        if !self.split {
            return Vec::new();
        }
        let name = file_name(output);
        let ending = LabelFormat::of_name(&name).map_or(0, |(_, ending)| ending);
        let (stem, ending) = name.split_at(name.len() - ending);
        let file = |(part, n): (String, &LabelName)| (output.with_file_name(format!("{stem}.{part}{ending}")), n.value);
        self.file_parts().into_iter().map(file).collect()
    }

    /// The labels, with their names as parts of file names, each another.
    pub fn file_parts(&self) -> Vec<(String, &LabelName)> {
        let plain = |text: &str| -> String {
            text.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).collect()
        };
        let part = |n: &LabelName| {
            let twin = self.names.iter().any(|other| other.value != n.value && plain(&other.name) == plain(&n.name));
            if twin { format!("{}_{}", plain(&n.name), n.value) } else { plain(&n.name) }
        };
        self.names.iter().map(|n| (part(n), n)).collect()
    }
}

/// The values of labels that are given by name or value.
fn find_all(option: &str, wanted: &[String], names: &[LabelName]) -> Result<BTreeSet<u16>, CliError> {
    wanted.iter().map(|text| find(option, text.trim(), names)).collect()
}

fn find(option: &str, text: &str, names: &[LabelName]) -> Result<u16, CliError> {
    let same = |n: &&LabelName| n.name.eq_ignore_ascii_case(text) || text.parse() == Ok(n.value);
    if let Some(found) = names.iter().find(same) {
        return Ok(found.value);
    }
    let known: Vec<&str> = names.iter().map(|n| n.name.as_str()).collect();
    let near = nearest(text, known.iter().copied()).unwrap_or_default();
    let list = names.iter().take(30).map(|n| format!("{} ({})", n.name, n.value)).collect::<Vec<_>>().join(", ");
    Err(CliError::usage(format!("{option} {text}: no such label; the nearest is {near} (known: {list})")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::Affine;

    fn names() -> Vec<LabelName> {
        let name = |value, name: &str| LabelName { value, name: name.into(), color: [0; 3], codes: None };
        vec![name(1, "left kidney"), name(2, "liver"), name(7, "left/kidney")]
    }

    fn args(labels: &[&str], largest: Option<&[&str]>, min_size: Option<f64>) -> PostprocessArgs {
        let texts = |list: &[&str]| list.iter().map(|t| (*t).to_owned()).collect();
        PostprocessArgs { labels: texts(labels), split_labels: true, largest_component: largest.map(texts), min_size }
    }

    #[test]
    fn labels_are_found_by_name_and_value() {
        let made = args(&["LIVER", "7"], Some(&["liver"]), None).resolve(&names()).expect("known labels");
        let mut map = LabelMap::new(vec![1, 2, 0, 2, 2, 7], [1, 1, 6], Affine::IDENTITY).expect("labels");
        let told = made.apply(&mut map);
        assert_eq!(map.data, [0, 0, 0, 2, 2, 7]);
        assert_eq!(told[0], json!({"step": "labels", "labels": ["liver", "left/kidney"]}));
        assert_eq!((&told[1]["removed_components"], &told[1]["removed_voxels"]), (&json!(1), &json!(1)));
        let files: Vec<_> = made.files(Path::new("a/b.nii.gz")).into_iter().map(|(p, _)| p).collect();
        assert_eq!(files, [Path::new("a/b.liver.nii.gz"), Path::new("a/b.left_kidney.nii.gz")]);
        let all = args(&[], Some(&[]), Some(0.5)).resolve(&names()).expect("all labels");
        assert_eq!(all.settings().len(), 3);
        let twins: Vec<_> = all.files(Path::new("b.nii")).into_iter().map(|(p, _)| p).collect();
        assert_eq!(twins[0], Path::new("b.left_kidney_1.nii"));
        let error = args(&["lever"], None, None).resolve(&names()).map(|_| ()).map_err(|e| e.chain());
        assert!(
            error.clone().is_err_and(|e| e.contains("--labels lever: no such label; the nearest is liver")),
            "{error:?}"
        );
    }
}
