//! Which of the series is meant.

use std::collections::BTreeMap;

use super::error::DicomError;
use super::image::{Header, NoImage, SeriesKey};

/// The objects of one series.
pub(super) struct Group {
    pub key: SeriesKey,
    /// Files with an image.
    pub images: Vec<(usize, Header)>,
    /// Files with something else, and why they are no images.
    pub others: Vec<(usize, NoImage)>,
}

impl Group {
    /// True if it shows a scan, even one that cannot be read: such a series must not be passed over for another.
    pub fn is_scan(&self) -> bool {
        !self.images.is_empty() || self.others.iter().any(|(_, e)| !matches!(e.error, DicomError::NotImage { .. }))
    }
}

/// Sorts files by their Series Instance UID, in the order in which series come first.
pub(super) fn group(files: Vec<(usize, SeriesKey, Result<Header, NoImage>)>) -> Vec<Group> {
    let mut places = BTreeMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (file, key, image) in files {
        let at = *places.entry(key.uid.clone()).or_insert_with(|| {
            groups.push(Group { key, images: Vec::new(), others: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            match image {
                Ok(header) => group.images.push((file, header)),
                Err(error) => group.others.push((file, error)),
            }
        }
    }
    groups
}

/// The series asked for, in that order; without a wish, the only one that shows a scan.
///
/// # Errors
/// Several series and no wish, or a wish that is not there.
pub(super) fn choose(groups: Vec<Group>, wanted: &[String]) -> Result<Vec<Group>, DicomError> {
    if wanted.is_empty() {
        let scans = groups.iter().filter(|g| g.is_scan()).count();
        if scans > 1 {
            let problem =
                format!("{scans} series where one is needed; give the files of one alone or choose one by its UID");
            return Err(DicomError::Series { problem, list: list(&groups) });
        }
        let only = groups.iter().position(Group::is_scan).unwrap_or(0);
        return Ok(groups.into_iter().skip(only).take(1).collect());
    }
    let mut groups: Vec<Option<Group>> = groups.into_iter().map(Some).collect();
    let mut chosen = Vec::new();
    for uid in wanted {
        let found = groups.iter_mut().find(|g| g.as_ref().is_some_and(|g| g.key.uid == *uid));
        match found.and_then(Option::take) {
            Some(group) => chosen.push(group),
            None => {
                let rest: Vec<Group> = groups.into_iter().flatten().collect();
                return Err(DicomError::Series { problem: format!("no series {uid} here"), list: list(&rest) });
            }
        }
    }
    Ok(chosen)
}

/// UID, kind, description and number of images of each.
fn list(groups: &[Group]) -> String {
    let one = |g: &Group| {
        let or = |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
        let (uid, modality) = (or(&g.key.uid, "no UID"), or(&g.key.modality, "unknown kind"));
        let files = g.images.len() + g.others.len();
        format!("{uid} ({modality}, \"{}\", {files} image file(s))", g.key.description)
    };
    groups.iter().filter(|g| g.is_scan()).map(one).collect::<Vec<_>>().join("; ")
}
