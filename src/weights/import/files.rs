//! Several files that are one model: a folder on disk, a zip, or files that a page was given. Read one by one, when asked for.
//!
//! Paths have `/` between their parts and begin below the set's root. Links to files are followed, links to folders are not.
//! What systems leave behind (`__MACOSX`, `.DS_Store`, `._name`) is passed over.
//!
//! # Errors
//! A file that is missing, unreadable, or much larger than what holds it: see [`WeightsError::File`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use super::super::error::WeightsError;
use crate::fields::json::decode;
use crate::filetype::{FileType, HEAD, LFS_POINTER};

/// Files of the largest set accepted; a result folder with all its validation scans has some thousands.
const MAX_FILES: usize = 100_000;
/// Folders within each other at most.
const MAX_DEPTH: usize = 12;
/// Bytes that a file in a zip may always have, however well it is packed.
const SMALL: u64 = 16 << 20;
/// A larger file that was packed to less than this share is made to fill memory, not to hold weights.
const MOST_EXPANSION: u64 = 8;
/// Largest text read.
const MAX_TEXT: u64 = 32 << 20;

enum Entry {
    Disk(PathBuf),
    Memory(Vec<u8>),
    Zipped(usize),
}

/// Named files.
pub struct FileSet {
    name: String,
    entries: BTreeMap<String, Entry>,
    zip: Vec<u8>,
}

impl std::fmt::Debug for FileSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileSet").field("name", &self.name).field("files", &self.entries.len()).finish()
    }
}

impl FileSet {
    /// A folder and what lies below it. Nothing is read yet.
    ///
    /// # Errors
    /// The folder cannot be listed, or holds more files than a model has.
    pub fn from_folder(path: &Path) -> Result<Self, WeightsError> {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut set = Self::empty(&whole.file_name().unwrap_or_default().to_string_lossy());
        set.list(path, "", 0)?;
        Ok(set)
    }

    fn list(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), WeightsError> {
        let failed = |e: std::io::Error| WeightsError::file(prefix, e.to_string());
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = entry.path();
            let inner = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type().map_err(failed)?.is_dir() {
                if depth < MAX_DEPTH {
                    self.list(&path, &format!("{inner}/"), depth + 1)?;
                }
            } else if path.is_file() {
                self.add(&inner, Entry::Disk(path))?;
            }
        }
        Ok(())
    }

    /// The files of a zip. `name` is the zip's own, of which its ending is taken off.
    ///
    /// # Errors
    /// It is no zip, or a broken one.
    pub fn from_zip(name: &str, bytes: Vec<u8>) -> Result<Self, WeightsError> {
        let mut set = Self::empty(name.strip_suffix(".zip").unwrap_or(name));
        let archive = archive(&bytes)?;
        for index in 0..archive.len() {
            let name = archive.name_for_index(index).and_then(Result::ok);
            let name = name.ok_or_else(|| WeightsError::file("", "broken zip: a name in it cannot be read"))?;
            if !name.ends_with(['/', '\\']) {
                let name = name.into_owned();
                set.add(&name, Entry::Zipped(index))?;
            }
        }
        set.zip = bytes;
        Ok(set)
    }

    /// Files that are in memory, each with its path.
    ///
    /// # Errors
    /// Two of one path, or more files than a model has.
    pub fn from_list(name: &str, files: Vec<(String, Vec<u8>)>) -> Result<Self, WeightsError> {
        let mut set = Self::empty(name);
        files.into_iter().try_for_each(|(path, bytes)| set.add(&path, Entry::Memory(bytes)))?;
        Ok(set)
    }

    fn empty(name: &str) -> Self {
        Self { name: name.to_owned(), entries: BTreeMap::new(), zip: Vec::new() }
    }

    fn add(&mut self, path: &str, entry: Entry) -> Result<(), WeightsError> {
        let path = normal(path);
        let litter = |part: &str| part == "__MACOSX" || part == ".DS_Store" || part.starts_with("._");
        if path.is_empty() || path.split('/').any(litter) {
            return Ok(());
        }
        if self.entries.len() >= MAX_FILES {
            return Err(WeightsError::file("", format!("it has more than {MAX_FILES} files")));
        }
        match self.entries.insert(path.clone(), entry) {
            None => Ok(()),
            Some(_) => Err(WeightsError::file(&path, "two files have this path")),
        }
    }

    /// What the folder or zip is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All paths, in alphabetical order.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is such a file.
    pub fn has(&self, path: &str) -> bool {
        self.entries.contains_key(&normal(path))
    }

    /// Folders that hold a file at `path`, `""` for the root.
    pub fn folders_with(&self, path: &str) -> Vec<&str> {
        let holds = |name: &str| name == path || name.strip_suffix(path).is_some_and(|folder| folder.ends_with('/'));
        let folder = |name: &'_ str| name.len() - path.len();
        self.paths()
            .filter(|name| holds(name))
            .map(|name| &name[..folder(name)])
            .map(|f| f.trim_end_matches('/'))
            .collect()
    }

    /// What lies below `folder`, under paths that begin there; it gets the folder's name.
    #[must_use]
    pub fn below(self, folder: &str) -> Self {
        if folder.is_empty() {
            return self;
        }
        let prefix = format!("{folder}/");
        let name = folder.rsplit('/').next().unwrap_or(folder).to_owned();
        let inside =
            self.entries.into_iter().filter_map(|(path, entry)| Some((path.strip_prefix(&prefix)?.to_owned(), entry)));
        Self { name, entries: inside.collect(), zip: self.zip }
    }

    /// A file's bytes. Those of a list are copied.
    ///
    /// # Errors
    /// It is missing or cannot be read, is empty, or stands for a file that is elsewhere.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, WeightsError> {
        self.whole(path, u64::MAX)
    }

    /// A file's text, UTF-8 or UTF-16.
    ///
    /// # Errors
    /// As [`FileSet::read`], or it is no text.
    pub fn text(&self, path: &str) -> Result<String, WeightsError> {
        let bytes = self.whole(path, MAX_TEXT)?;
        decode(&bytes).map(Cow::into_owned).map_err(|e| WeightsError::file(path, e.to_string()))
    }

    fn whole(&self, path: &str, most: u64) -> Result<Vec<u8>, WeightsError> {
        let bytes = self.read_at_most(path, most)?;
        match FileType::of(bytes.get(..HEAD).unwrap_or(&bytes)) {
            Some(LFS_POINTER) => Err(WeightsError::file(path, format!("it is {}", LFS_POINTER.name))),
            _ if bytes.is_empty() => Err(WeightsError::file(path, "it is empty; copy or download it again")),
            _ => Ok(bytes),
        }
    }

    fn read_at_most(&self, path: &str, most: u64) -> Result<Vec<u8>, WeightsError> {
        let entry = self.entries.get(&normal(path)).ok_or_else(|| WeightsError::file(path, "there is no such file"))?;
        let failed = |e: std::io::Error| WeightsError::file(path, e.to_string());
        let large = |size: u64| WeightsError::file(path, format!("{size} bytes are more than such a file has"));
        match entry {
            Entry::Memory(bytes) if bytes.len() as u64 > most => Err(large(bytes.len() as u64)),
            Entry::Memory(bytes) => Ok(bytes.clone()),
            Entry::Disk(file) => {
                let size = std::fs::metadata(file).map_err(failed)?.len();
                if size > most {
                    return Err(large(size));
                }
                std::fs::read(file).map_err(failed)
            }
            Entry::Zipped(index) => {
                let mut archive = archive(&self.zip)?;
                let mut file = archive.by_index(*index).map_err(|e| WeightsError::file(path, broken(&e)))?;
                let allowed = file.compressed_size().saturating_mul(MOST_EXPANSION).max(SMALL).min(most);
                if file.size() > allowed {
                    return Err(large(file.size()));
                }
                let mut bytes = Vec::new();
                file.by_ref().take(allowed + 1).read_to_end(&mut bytes).map_err(failed)?;
                if bytes.len() as u64 > allowed {
                    return Err(large(bytes.len() as u64));
                }
                Ok(bytes)
            }
        }
    }

    /// A clause with the first parts of all paths, shortened to what a message can hold.
    pub fn summary(&self) -> String {
        let tops: BTreeSet<&str> = self.paths().map(|path| path.split('/').next().unwrap_or(path)).collect();
        let shown: Vec<&str> = tops.iter().take(8).copied().collect();
        match tops.len().saturating_sub(8) {
            0 if shown.is_empty() => "there is nothing in it".to_owned(),
            0 => format!("in it are {}", shown.join(", ")),
            more => format!("in it are {} and {more} more", shown.join(", ")),
        }
    }
}

/// `/` between parts, none empty or `.`; `..` takes the part before it, and never leaves the root.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split(['/', '\\']) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a zip that cannot be read is called, here and where it is a checkpoint.
pub(super) fn broken(error: &zip::result::ZipError) -> String {
    format!("broken zip: {error}; was it copied or downloaded to its end?")
}

fn archive(bytes: &[u8]) -> Result<zip::ZipArchive<Cursor<&[u8]>>, WeightsError> {
    zip::ZipArchive::new(Cursor::new(bytes)).map_err(|e| WeightsError::file("", broken(&e)))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let deflated = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
        for (name, bytes) in files {
            writer.start_file(*name, deflated).expect("a file");
            writer.write_all(bytes).expect("written");
        }
        writer.finish().expect("finished").into_inner()
    }

    #[test]
    fn folder_zip_and_list_are_the_same_set() {
        let files: [(&str, &[u8]); 4] =
            [("m/configs/a.json", b"{}"), ("m/models/b.pt", b"PK"), ("__MACOSX/m/x", b"-"), ("m/.DS_Store", b"-")];
        let folder = tempfile::tempdir().expect("a folder");
        for (path, bytes) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            std::fs::write(path, bytes).expect("written");
        }
        let list = files.map(|(path, bytes)| (path.replace('/', "\\"), bytes.to_vec())).to_vec();
        for set in [
            FileSet::from_folder(folder.path()).expect("a folder"),
            FileSet::from_zip("m.zip", zip(&files)).expect("a zip"),
            FileSet::from_list("m", list).expect("a list"),
        ] {
            assert_eq!(set.paths().collect::<Vec<_>>(), ["m/configs/a.json", "m/models/b.pt"], "{set:?}");
            assert_eq!(set.folders_with("configs/a.json"), ["m"]);
            let set = set.below("m");
            assert_eq!((set.name(), set.text("./configs//a.json").expect("text").as_str()), ("m", "{}"));
            assert!(set.has("configs/../models/b.pt") && !set.has("b.pt"));
            let error = set.read("c").expect_err("missing").to_string();
            assert_eq!(
                (error.as_str(), set.summary().as_str()),
                ("c: there is no such file", "in it are configs, models")
            );
            assert_eq!(set.folders_with("configs/a.json"), [""]);
        }
    }

    #[test]
    fn what_would_fill_memory_is_refused() {
        let zeros = vec![0; (SMALL + 1) as usize];
        let set = FileSet::from_zip("bomb", zip(&[("a", &zeros), ("b", b"fine")])).expect("a zip");
        assert!(set.read("a").expect_err("a bomb").to_string().contains("more than such a file has"));
        assert_eq!(set.read("b").expect("small"), b"fine");
        assert!(
            FileSet::from_zip("text", b"hello".to_vec()).expect_err("no zip").to_string().starts_with("broken zip")
        );
        let twice = vec![("a/b".to_owned(), vec![]), ("a\\b".to_owned(), vec![])];
        assert!(FileSet::from_list("twice", twice).expect_err("twice").to_string().contains("two files"));
    }
}
