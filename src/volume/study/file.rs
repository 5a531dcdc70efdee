//! A file on its way into a reader: opened once, looked at, read once.

#[cfg(not(target_arch = "wasm32"))]
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::digest::hex;
use crate::volume::VolumeError;

/// Bytes that formats are told by; packed headers need the most.
#[cfg(not(target_arch = "wasm32"))]
const HEAD: usize = 4096;

/// A file of a scan: on disk, a pipe, or in memory.
#[derive(Debug)]
pub struct InputFile {
    /// As messages name it.
    name: String,
    path: Option<PathBuf>,
    content: Content,
}

#[derive(Debug)]
enum Content {
    #[cfg(not(target_arch = "wasm32"))]
    Folder,
    /// Its first bytes, and where the others come from.
    #[cfg(not(target_arch = "wasm32"))]
    Open {
        head: Vec<u8>,
        rest: std::fs::File,
    },
    /// Its first bytes; the file is opened again for the others.
    #[cfg(not(target_arch = "wasm32"))]
    Closed {
        head: Vec<u8>,
    },
    Memory(Vec<u8>),
}

impl InputFile {
    /// A file that is in memory already.
    #[must_use]
    pub fn in_memory(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), path: None, content: Content::Memory(bytes) }
    }

    /// Opens a file or names a folder. A pipe is read to its end, since it can be read but once.
    ///
    /// # Errors
    /// It cannot be opened or read.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        let failed = |source| VolumeError::Io { path: path.display().to_string(), source };
        let named = |path: Option<&Path>, name: &Path, content| Self {
            name: name.display().to_string(),
            path: path.map(Path::to_path_buf),
            content,
        };
        if path.is_dir() {
            return Ok(named(Some(path), path, Content::Folder));
        }
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let pipe = !file.metadata().map_err(failed)?.is_file();
        let mut head = Vec::with_capacity(HEAD);
        file.by_ref().take(HEAD as u64).read_to_end(&mut head).map_err(failed)?;
        if !pipe {
            return Ok(named(Some(path), path, Content::Open { head, rest: file }));
        }
        // Some have no end: what is no scan is not read further.
        if super::recognise(&head).is_some() || super::archive::is_zip(&head) {
            file.read_to_end(&mut head).map_err(failed)?;
        }
        Ok(named(None, path, Content::Memory(head)))
    }

    /// Closes a file that lies on disk until it is read: a process may hold a thousand open, and a series has more.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn close(&mut self) {
        if let Content::Open { head, .. } = &mut self.content {
            self.content = Content::Closed { head: std::mem::take(head) };
        }
    }

    /// As messages name it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last part of its name.
    #[must_use]
    pub fn file_name(&self) -> String {
        let path = Path::new(&self.name);
        path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
    }

    /// Where it can be read again: on disk, and no pipe.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether it stands for all that lies in a folder.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        #[cfg(not(target_arch = "wasm32"))]
        if matches!(self.content, Content::Folder) {
            return true;
        }
        false
    }

    /// The first bytes, at least 4,096 if there are so many; none of a folder.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        match &self.content {
            #[cfg(not(target_arch = "wasm32"))]
            Content::Folder => &[],
            #[cfg(not(target_arch = "wasm32"))]
            Content::Open { head, .. } | Content::Closed { head } => head,
            Content::Memory(bytes) => bytes,
        }
    }

    /// All of it, kept in memory from here on.
    ///
    /// # Errors
    /// It cannot be read, or is a folder.
    pub fn bytes(&mut self) -> Result<&[u8], VolumeError> {
        #[cfg(not(target_arch = "wasm32"))]
        if let (Content::Closed { .. }, Some(path)) = (&self.content, self.path.clone()) {
            self.content = Self::open(&path)?.content;
        }
        #[cfg(not(target_arch = "wasm32"))]
        if let Content::Open { head, rest } = &mut self.content {
            let mut bytes = std::mem::take(head);
            let size = rest.metadata().map_or(0, |m| m.len());
            bytes.reserve_exact(usize::try_from(size).unwrap_or(0).saturating_sub(bytes.len()));
            let read = rest.read_to_end(&mut bytes);
            self.content = Content::Memory(bytes);
            read.map_err(|source| VolumeError::Io { path: self.name.clone(), source })?;
        }
        match &self.content {
            Content::Memory(bytes) => Ok(bytes),
            #[cfg(not(target_arch = "wasm32"))]
            _ => Err(VolumeError::Io {
                path: self.name.clone(),
                source: std::io::Error::new(std::io::ErrorKind::IsADirectory, "is a folder, and a file is needed"),
            }),
        }
    }

    /// What of it lies in memory: all, or nothing.
    #[must_use]
    pub fn loaded(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Memory(bytes) => Some(bytes),
            #[cfg(not(target_arch = "wasm32"))]
            _ => None,
        }
    }
}

/// SHA-256 of the files' bytes, one after the other, in lower-case hexadecimal digits.
///
/// # Errors
/// A file cannot be read.
pub fn sha256(files: &mut [InputFile]) -> Result<String, VolumeError> {
    let mut hash = Sha256::new();
    for file in files {
        hash.update(file.bytes()?);
    }
    Ok(hex(hash.finalize()))
}
