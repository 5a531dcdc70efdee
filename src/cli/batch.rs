//! Lists of scans: a folder, a CSV or a JSON file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::{CliError, Context};
use super::files::{self, file_name};
use crate::dataset::stem;
use crate::fields::json::parse_object;

/// One scan of a list: its files or folders, one for each channel or one with all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BatchCase {
    /// Name of its output without an ending, unlike all others.
    pub name: String,
    pub scans: Vec<PathBuf>,
}

/// Endings of files that are scans.
pub(super) const SCANS: [&str; 9] = [".nii", ".nii.gz", ".hdr", ".nrrd", ".nhdr", ".mha", ".mhd", ".mgh", ".mgz"];

/// Reads a list.
///
/// * a folder: each file that is a scan, files `X_0000`, `X_0001`, ... as the channels of `X`; each folder in it as a series;
/// * `.csv`: a line for each case, a column for each channel; a first line that names no file is a heading, and its column
///   `name` or `case` names the outputs;
/// * `.json`: a list of files, of lists of files, or of objects with `image` and perhaps `name`; or a `dataset.json`.
///
/// Paths are relative to the list.
///
/// # Errors
/// A list that cannot be read, or names no scan.
pub(super) fn cases(list: &Path) -> Result<Vec<BatchCase>, CliError> {
    let folder = list.parent().unwrap_or(Path::new(""));
    let found = if list.is_dir() {
        of_folder(list)?
    } else {
        let text = String::from_utf8(files::read(list)?).at(list)?;
        match list.extension().map(|e| e.to_ascii_lowercase()).as_deref().and_then(|e| e.to_str()) {
            Some("csv") => of_csv(&text, folder).map_err(|e| e.at(list))?,
            Some("json") => of_json(&text, folder).map_err(|e| e.at(list))?,
            _ => {
                let problem = format!("--batch {}: a folder, or a list in .csv or .json, is needed", list.display());
                return Err(CliError::usage(problem));
            }
        }
    };
    if found.is_empty() {
        let problem = match list.is_dir() {
            true => "no scan is in this folder; a single DICOM series is given as SCAN",
            false => "it names no scan",
        };
        return Err(CliError::failed(problem).at(list));
    }
    Ok(named_apart(found))
}

/// Channels of nnU-Net: `X_0000`.
fn channel_of(stem: &str) -> Option<&str> {
    let (case, number) = stem.rsplit_once('_')?;
    (number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit()) && !case.is_empty()).then_some(case)
}

fn of_folder(folder: &Path) -> Result<Vec<BatchCase>, CliError> {
    let mut grouped: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in std::fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let name = file_name(&path);
        let lower = name.to_ascii_lowercase();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            grouped.entry(name).or_default().push(path);
        } else if SCANS.iter().any(|ending| lower.ends_with(ending)) {
            let stem = stem(&path);
            let case = channel_of(&stem).map_or(stem.clone(), str::to_owned);
            grouped.entry(case).or_default().push(path);
        }
    }
    Ok(grouped
        .into_iter()
        .map(|(name, mut scans)| {
            scans.sort();
            BatchCase { name, scans }
        })
        .collect())
}

fn of_csv(text: &str, folder: &Path) -> Result<Vec<BatchCase>, CliError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut rows: Vec<Vec<String>> = Vec::new();
    for record in reader.records() {
        let row: Vec<String> = record?.iter().map(str::to_owned).collect();
        if row.iter().any(|cell| !cell.is_empty()) {
            rows.push(row);
        }
    }
    let is_heading = |row: &Vec<String>| !row.iter().any(|cell| !cell.is_empty() && folder.join(cell).exists());
    let heading = match rows.first() {
        Some(first) if rows.len() > 1 && is_heading(first) => Some(rows.remove(0)),
        _ => None,
    };
    let name_at = heading.and_then(|row| {
        row.iter().position(|cell| ["name", "case", "id"].contains(&cell.to_ascii_lowercase().as_str()))
    });
    let case = |row: Vec<String>| {
        let name = name_at.and_then(|at| row.get(at)).cloned();
        let scans: Vec<PathBuf> = row
            .into_iter()
            .enumerate()
            .filter(|(at, cell)| Some(*at) != name_at && !cell.is_empty())
            .map(|(_, cell)| folder.join(cell))
            .collect();
        case_of(name, scans)
    };
    Ok(rows.into_iter().map(case).collect())
}

fn of_json(text: &str, folder: &Path) -> Result<Vec<BatchCase>, CliError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let items: Vec<Value> = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(text).about("not a list of scans")?,
        false => {
            let map = parse_object("the list", text)?;
            let lists = ["training", "train", "validation", "val", "test", "testing", "cases", "scans"];
            lists.iter().filter_map(|key| map.get(*key)?.as_array()).flatten().cloned().collect()
        }
    };
    items
        .iter()
        .enumerate()
        .map(|(at, item)| item_of(item, folder).map_err(|e| CliError::failed(format!("item {at}: {}", e.chain()))))
        .collect()
}

fn item_of(item: &Value, folder: &Path) -> Result<BatchCase, CliError> {
    let file = |value: &Value| value.as_str().map(|text| folder.join(text));
    let (name, image) = match item {
        Value::Object(map) => (map.get("name").and_then(Value::as_str), map.get("image").unwrap_or(&Value::Null)),
        other => (None, other),
    };
    let scans = match image {
        Value::Array(list) => list.iter().map(file).collect::<Option<Vec<_>>>(),
        one => file(one).map(|path| vec![path]),
    };
    match scans {
        Some(scans) if !scans.is_empty() => Ok(case_of(name.map(str::to_owned), scans)),
        _ => Err(CliError::failed(format!("{item}: a file, a list of files, or an object with \"image\" is needed"))),
    }
}

fn case_of(name: Option<String>, scans: Vec<PathBuf>) -> BatchCase {
    let first = scans.first().map(|path| stem(path)).unwrap_or_default();
    let own = match scans.len() {
        1 => first,
        _ => channel_of(&first).map_or(first.clone(), str::to_owned),
    };
    BatchCase { name: name.filter(|n| !n.is_empty()).unwrap_or(own), scans }
}

/// Names that can be files' and are unlike each other: equal ones get their folders in front, then a number.
fn named_apart(mut cases: Vec<BatchCase>) -> Vec<BatchCase> {
    let plain = |text: &str| text.replace(['/', '\\', ':'], "_").trim_matches('.').to_owned();
    let count = |cases: &[BatchCase]| {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        cases.iter().for_each(|c| *count.entry(plain(&c.name).to_lowercase()).or_default() += 1);
        count
    };
    let twice = count(&cases);
    for case in &mut cases {
        let parent = case.scans.first().and_then(|p| p.parent()?.file_name()).map(|n| n.to_string_lossy().into_owned());
        if twice.get(&plain(&case.name).to_lowercase()).is_some_and(|n| *n > 1)
            && let Some(parent) = parent
        {
            case.name = format!("{parent}_{}", case.name);
        }
        case.name = plain(&case.name);
    }
    let mut taken: Vec<String> = Vec::new();
    for case in &mut cases {
        let (base, mut number) = (case.name.clone(), 1);
        while taken.contains(&case.name.to_lowercase()) {
            number += 1;
            case.name = format!("{base}_{number}");
        }
        taken.push(case.name.to_lowercase());
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(folder: &Path, name: &str, text: &str) -> Vec<(String, usize)> {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a list");
        let found = cases(&path).map_err(|e| e.chain()).expect(name);
        found.into_iter().map(|c| (c.name, c.scans.len())).collect()
    }

    #[test]
    fn lists_of_every_form_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        for name in ["a.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "notes.txt", ".hidden.nii"] {
            std::fs::write(at.join(name), b"").expect("a file");
        }
        for name in ["series", "p1", "p2"] {
            std::fs::create_dir(at.join(name)).expect("a folder");
        }
        let own = |list: &[(&str, usize)]| list.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect::<Vec<_>>();
        let found = cases(at).map_err(|e| e.chain()).expect("a folder");
        let found: Vec<_> = found.into_iter().map(|c| (c.name, c.scans.len())).collect();
        assert_eq!(found, own(&[("a", 1), ("b", 2), ("p1", 1), ("p2", 1), ("series", 1)]));
        let text = "case,T1,FLAIR\nfirst,a.nii.gz,b_0000.nii.gz\n\n# a remark\nsecond,b_0000.nii.gz,b_0001.nii.gz\n";
        assert_eq!(list(at, "x.csv", text), own(&[("first", 2), ("second", 2)]));
        assert_eq!(list(at, "y.csv", "a.nii.gz\nb_0000.nii.gz\n"), own(&[("a", 1), ("b_0000", 1)]));
        let text = r#"["a.nii.gz", ["b_0000.nii.gz", "b_0001.nii.gz"], {"name": "x/y", "image": "a.nii.gz"}]"#;
        assert_eq!(list(at, "x.json", text), own(&[("a", 1), ("b", 2), ("x_y", 1)]));
        let text = r#"{"training": [{"image": "p1/ct.nii", "label": "p1/s.nii"}], "test": ["p2/ct.nii"]}"#;
        assert_eq!(list(at, "dataset.json", text), own(&[("p1_ct", 1), ("p2_ct", 1)]));
        for (name, text, words) in [
            ("bad.json", "[1]", "item 0: 1: a file"),
            ("empty.csv", "\n", "names no scan"),
            ("a.txt", "", ".csv or .json"),
        ] {
            std::fs::write(at.join(name), text).expect("a list");
            let error = cases(&at.join(name)).map_err(|e| e.chain()).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
