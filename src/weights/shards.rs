//! A package cut into files that any server keeps, and an index of them with their hashes. The files one after the other are the
//! package, byte for byte.
//!
//! ```json
//! {"format": "unetr-shards/1", "bytes": 62402931, "sha256": "...",
//!  "shards": [{"file": "model-1-of-3.bin", "bytes": 25165824, "sha256": "..."}, ...]}
//! ```
//! The files lie beside the index, `model.safetensors.index.json`.
//!
//! # Errors
//! An index that is none, or a file that is missing, has another size or another hash: each is named.

use serde::{Deserialize, Serialize};

use super::error::WeightsError;
use crate::digest::sha256;
use crate::fields::json::parse_object;
use crate::fields::{FieldError, from_json};

/// How an index's name ends.
pub const INDEX: &str = ".index.json";
/// Bytes of the largest shard: hosts that keep files for nothing take 25 MiB.
pub const MOST: usize = 24 << 20;
/// What an index calls itself.
const FORMAT: &str = "unetr-shards/1";

/// One of the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Its name beside the index.
    pub file: String,
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// Which files a package was cut into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardIndex {
    pub format: String,
    /// Of the whole.
    pub bytes: u64,
    /// Of the whole.
    pub sha256: String,
    /// In their order.
    pub shards: Vec<Shard>,
}

impl ShardIndex {
    /// The index of a package called `name`, and the bytes of each shard.
    #[must_use]
    pub fn cut<'a>(name: &str, package: &'a [u8]) -> (Self, Vec<&'a [u8]>) {
        let stem = name.strip_suffix(INDEX).unwrap_or(name);
        let stem = stem.strip_suffix(".safetensors").unwrap_or(stem);
        let parts: Vec<&[u8]> = package.chunks(MOST).collect();
        let count = parts.len();
        let shard = |(i, part): (usize, &&[u8])| Shard {
            file: format!("{stem}-{}-of-{count}.bin", i + 1),
            bytes: part.len() as u64,
            sha256: sha256(part),
        };
        let shards = parts.iter().enumerate().map(shard).collect();
        (Self { format: FORMAT.into(), bytes: package.len() as u64, sha256: sha256(package), shards }, parts)
    }

    /// Reads an index.
    ///
    /// # Errors
    /// It is none, or names what cannot lie beside it.
    pub fn read(text: &str) -> Result<Self, WeightsError> {
        let object = parse_object("index of shards", text)?;
        let index: Self = from_json(&object.into())?;
        let bad = |field: &str, problem: &str| WeightsError::from(FieldError::value(field, problem));
        if index.format != FORMAT {
            return Err(bad("format", &format!("{:?} is not {FORMAT:?}, the only one that is read", index.format)));
        }
        for (i, shard) in index.shards.iter().enumerate() {
            let plain =
                !shard.file.is_empty() && !shard.file.starts_with('.') && !shard.file.contains(['/', '\\', ':']);
            if !plain {
                let problem = format!("{:?} is no name of a file beside the index", shard.file);
                return Err(bad(&format!("shards[{i}].file"), &problem));
            }
        }
        let sum = index.shards.iter().try_fold(0_u64, |sum, shard| sum.checked_add(shard.bytes));
        if sum != Some(index.bytes) {
            return Err(bad("bytes", &format!("it is {}, and the shards together have another size", index.bytes)));
        }
        Ok(index)
    }

    /// The text of the index.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }

    /// The package, of what `read` gives for each file.
    ///
    /// # Errors
    /// A file cannot be read, or is not the one that was cut.
    pub fn join(&self, mut read: impl FnMut(&str) -> Result<Vec<u8>, WeightsError>) -> Result<Vec<u8>, WeightsError> {
        let mut package = Vec::new();
        for shard in &self.shards {
            let bytes = read(&shard.file)?;
            let found = sha256(&bytes);
            if bytes.len() as u64 != shard.bytes || !found.eq_ignore_ascii_case(&shard.sha256) {
                let problem = format!(
                    "it has {} bytes and the SHA-256 {found}, the index says {} and {}: download it again",
                    bytes.len(),
                    shard.bytes,
                    shard.sha256
                );
                return Err(WeightsError::file(&shard.file, problem));
            }
            package.extend_from_slice(&bytes);
        }
        match sha256(&package).eq_ignore_ascii_case(&self.sha256) {
            true => Ok(package),
            false => Err(WeightsError::file(
                "",
                "the shards together are not the package of the index: are they of one model?",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_together_are_the_package() {
        let package: Vec<u8> = (0..MOST + 5).map(|i| (i % 251) as u8).collect();
        let (index, parts) = ShardIndex::cut("liver.safetensors.index.json", &package);
        let files: Vec<&str> = index.shards.iter().map(|shard| shard.file.as_str()).collect();
        assert_eq!((files.as_slice(), parts[1].len()), (&["liver-1-of-2.bin", "liver-2-of-2.bin"][..], 5));
        let again = ShardIndex::read(&index.to_json()).expect("an index");
        assert_eq!(again, index);
        let read = |name: &str| Ok(parts[usize::from(name == files[1])].to_vec());
        assert!(again.join(read).expect("whole") == package);
        let damaged = |name: &str| Ok(if name == files[1] { b"other".to_vec() } else { parts[0].to_vec() });
        let error = again.join(damaged).expect_err("damaged").to_string();
        assert!(
            error.starts_with("liver-2-of-2.bin: it has 5 bytes") && error.contains("download it again"),
            "{error}"
        );
    }

    #[test]
    fn an_index_names_files_beside_it() {
        let text = |file: &str, bytes: u64| {
            let shard = Shard { file: file.into(), bytes: 5, sha256: String::new() };
            ShardIndex { format: FORMAT.into(), bytes, sha256: String::new(), shards: vec![shard] }.to_json()
        };
        let refused = |text: &str| ShardIndex::read(text).expect_err("refused").to_string();
        for file in ["../a", "/etc/passwd", "a/b", "c:\\d", "", ".."] {
            assert!(refused(&text(file, 5)).contains("shards[0].file"), "{file}");
        }
        assert!(refused(&text("a", 6)).contains("bytes"));
        assert!(
            refused("{\"format\": \"unetr-shards/2\", \"bytes\": 0, \"sha256\": \"\", \"shards\": []}")
                .contains("format")
        );
        assert!(refused("{").contains("index of shards"));
    }
}
