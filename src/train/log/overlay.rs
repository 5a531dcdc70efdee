//! Pictures of validation cases, as files.

use std::path::Path;

use super::records::OverlayRecord;
use super::{LogError, file};

/// Their folder in the run folder.
pub const OVERLAYS: &str = "overlays";

/// A picture of a validation case, as [`comparison`](crate::report::preview::comparison) makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// The case it shows, as in [`CaseRecord::case`](super::CaseRecord::case).
    pub case: String,
    /// What stands over it, such as `worst`.
    pub title: String,
    /// The picture as a PNG file.
    pub png: Vec<u8>,
}

impl Overlay {
    /// Width and height.
    ///
    /// # Errors
    /// [`LogError::Picture`] if it is no PNG.
    pub fn size(&self) -> Result<[u32; 2], LogError> {
        let decoder = png::Decoder::new(std::io::Cursor::new(&self.png));
        let failed = |e: png::DecodingError| LogError::Picture { case: self.case.clone(), reason: e.to_string() };
        let reader = decoder.read_info().map_err(failed)?;
        Ok([reader.info().width, reader.info().height])
    }
}

/// Writes the pictures of a validation; names of cases stay out of the files' names.
pub(super) fn save(run: &Path, step: u64, overlays: &[Overlay]) -> Result<Vec<OverlayRecord>, LogError> {
    for overlay in overlays {
        overlay.size()?;
    }
    let folder = run.join(OVERLAYS);
    if !overlays.is_empty() {
        std::fs::create_dir_all(&folder).map_err(LogError::write(&folder))?;
    }
    let mut records = Vec::new();
    for (i, overlay) in overlays.iter().enumerate() {
        let file = format!("{step:08}-{}.png", i + 1);
        file::replace(&folder.join(&file), &overlay.png)?;
        records.push(OverlayRecord { file, case: overlay.case.clone(), title: overlay.title.clone() });
    }
    Ok(records)
}

/// Removes pictures that are no longer wanted.
pub(super) fn remove(run: &Path, overlays: &[&OverlayRecord]) {
    for overlay in overlays {
        // The records may have been changed by others: only names that `save` gives are removed.
        let ours =
            overlay.file.strip_suffix(".png").is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        if ours {
            // One that stays, or that has gone already, does no harm.
            let _ = std::fs::remove_file(run.join(OVERLAYS).join(&overlay.file));
        }
    }
}
