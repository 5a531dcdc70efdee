//! The Medical Segmentation Decathlon's `dataset.json`: pairs of images and labels.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::{CliError, Context};
use super::files;

/// One case with its truth.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Case {
    pub name: String,
    /// One file per channel, or one with all.
    pub images: Vec<PathBuf>,
    pub label: PathBuf,
}

/// Lists of a dataset, under whichever of their usual names they have.
const LISTS: [(&str, [&str; 3]); 2] =
    [("validation", ["validation", "val", "valid"]), ("training", ["training", "train", "trainingset"])];

#[derive(Deserialize)]
struct Entry {
    image: Images,
    label: PathBuf,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Images {
    One(PathBuf),
    Several(Vec<PathBuf>),
}

/// The cases of `wanted` (`training` or `validation`); without a wish the validation cases, or the training cases where
/// there are no others. Gives the list's name in the file too.
///
/// # Errors
/// No JSON, no such list, or an entry without image and label.
pub(super) fn read(path: &Path, wanted: Option<&str>) -> Result<(String, Vec<Case>), CliError> {
    let map: Map<String, Value> = serde_json::from_slice(&files::read(path)?).at(path)?;
    let lists = LISTS.iter().filter(|(list, _)| wanted.is_none_or(|w| w == *list));
    let found = lists
        .flat_map(|(_, names)| names)
        .find_map(|&name| Some((name, map.get(name)?.as_array().filter(|a| !a.is_empty())?)));
    let Some((name, entries)) = found else {
        return Err(CliError::failed(format!(
            "{}: no list \"{}\" of cases with labels",
            path.display(),
            wanted.unwrap_or("validation\" or \"training")
        )));
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut cases = Vec::with_capacity(entries.len());
    for (i, entry) in entries.iter().enumerate() {
        let about = format!("{}: {name}[{i}] needs \"image\" and \"label\"", path.display());
        let entry = Entry::deserialize(entry).about(about)?;
        let images: Vec<PathBuf> = match entry.image {
            Images::One(image) => vec![folder.join(image)],
            Images::Several(images) => images.iter().map(|i| folder.join(i)).collect(),
        };
        let label = folder.join(entry.label);
        cases.push(Case { name: stem(images.first().unwrap_or(&label)), images, label });
    }
    Ok((name.to_owned(), cases))
}

/// A scan's name without folders and endings.
pub(super) fn stem(path: &Path) -> String {
    let name = files::file_name(path);
    let short = name.strip_suffix(".gz").unwrap_or(&name);
    short.strip_suffix(".nii").unwrap_or(short).to_owned()
}
