//! A zip of scans: its files in memory, as if they had been given.

use std::io::{Cursor, Read};

use super::file::InputFile;
use super::format::{FORMATS, Format, recognise};
use crate::filetype::{FileType, ZIP};
use crate::volume::VolumeError;

/// Entries of the largest archive accepted; a study with all its series has some ten thousand.
const MAX_FILES: usize = 100_000;
/// Bytes that an archive may always have unpacked.
const SMALL: u64 = 256 << 20;
/// Beyond, unpacked bytes to a packed one, all files together: label maps come to 300 by themselves, whole scans to 20.
const MOST_EXPANSION: u64 = 64;
/// Names that a message lists.
const NAMED: usize = 3;

/// Whether a file's first bytes are of a zip that is nothing more special, such as a checkpoint.
pub(super) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK") && FileType::of(head) == Some(ZIP)
}

/// The scans in a zip in the order of their names, and the files that belong to them. What is neither is left out.
///
/// # Errors
/// It is damaged, encrypted or holds no scan, or unpacks to more than it may: `max_bytes`, or much more than its own size.
pub(super) fn unpack(file: &mut InputFile, max_bytes: u64) -> Result<Vec<InputFile>, VolumeError> {
    let name = file.name().to_owned();
    let bytes = file.bytes()?;
    let broken =
        |e: zip::result::ZipError| VolumeError::Archive { file: name.clone(), problem: format!("broken zip: {e}") };
    let refused = |problem: String| VolumeError::Archive { file: name.clone(), problem };
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    if archive.len() > MAX_FILES {
        return Err(refused(format!("it has more than {MAX_FILES} files: unpack it")));
    }
    let allowed = (bytes.len() as u64).saturating_mul(MOST_EXPANSION).max(SMALL).min(max_bytes);
    let mut left = allowed;
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for at in 0..archive.len() {
        let mut entry = archive.by_index(at).map_err(broken)?;
        let path = entry.name().map_err(broken)?.replace('\\', "/");
        let litter = |part: &str| part == "__MACOSX" || part.starts_with('.');
        if entry.is_dir() || path.split('/').any(litter) {
            continue;
        }
        let large =
            || refused(format!("it would unpack to more than {allowed} bytes: if it is sound, unpack it yourself"));
        // What is declared may be a lie.
        if entry.size() > left {
            return Err(large());
        }
        let mut content = Vec::new();
        let read = entry.by_ref().take(left + 1).read_to_end(&mut content);
        read.map_err(|e| refused(format!("broken zip: {path}: {e}")))?;
        left = left.checked_sub(content.len() as u64).ok_or_else(large)?;
        files.push((path, content));
    }
    files.sort();
    let names: Vec<String> = files.iter().map(|(path, _)| path.clone()).collect();
    let kinds: Vec<_> = files.iter().filter_map(|(_, content)| recognise(content)).map(Format::name).collect();
    let belongs = |(path, content): &(String, Vec<u8>)| {
        // The voxels of a header are told by their name alone.
        let second =
            |format: &&dyn Format| kinds.contains(&format.name()) && format.is_second(&path.to_ascii_lowercase());
        recognise(content).is_some() || FORMATS.iter().any(second)
    };
    files.retain(belongs);
    if files.is_empty() {
        let first = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        let more = if names.len() > NAMED { ", ..." } else { "" };
        let held = if names.is_empty() { "nothing".to_owned() } else { format!("{first}{more}") };
        return Err(refused(format!("there is no scan in it, but {held}")));
    }
    Ok(files.into_iter().map(|(path, content)| InputFile::in_memory(format!("{name}/{path}"), content)).collect())
}
