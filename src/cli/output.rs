//! Output files: checked before any work, written under a temporary name, renamed together at the end.

use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

use super::error::{CliError, Context};
use super::files::file_name;
use super::signals;

/// The files a command will write.
pub(super) struct Outputs {
    force: bool,
    inputs: Vec<PathBuf>,
    planned: Vec<(String, PathBuf)>,
    staged: Vec<(NamedTempFile, PathBuf)>,
    /// What other runs may write as well, each the same.
    shared: Vec<(NamedTempFile, PathBuf)>,
}

impl Outputs {
    /// `inputs` are never overwritten, not even with `--force`.
    pub fn new(force: bool, inputs: &[&Path]) -> Self {
        let inputs = inputs.iter().filter_map(|p| p.canonicalize().ok());
        Self { force, inputs: inputs.collect(), planned: Vec::new(), staged: Vec::new(), shared: Vec::new() }
    }

    /// Announces a file; `option` names it in messages.
    ///
    /// # Errors
    /// It is an input or another output, it exists and `--force` is not given, or nothing can be written there.
    pub fn plan(&mut self, option: &str, path: &Path) -> Result<(), CliError> {
        let real = resolve(path)?;
        if self.inputs.contains(&real) {
            return Err(CliError::usage(format!("{option} {} is an input: choose another name", path.display())));
        }
        if let Some((other, _)) = self.planned.iter().find(|(_, p)| *p == real) {
            return Err(CliError::usage(format!("{option} and {other} name the same file {}", path.display())));
        }
        if path.is_symlink() && !path.exists() {
            let to = std::fs::read_link(path).unwrap_or_default();
            let (path, to) = (path.display(), to.display());
            return Err(CliError::failed(format!(
                "{option} {path} is a link to {to}, which does not exist: remove the link or give another name"
            )));
        }
        if let Ok(found) = std::fs::metadata(path) {
            if !found.is_file() {
                return Err(CliError::failed(format!("{option} {} is not a regular file", path.display())));
            }
            if !self.force {
                return Err(CliError::failed(format!("{option} {} exists; --force replaces it", path.display())));
            }
        }
        // Better now than after an hour's work.
        temporary(path).about(format!("cannot write {option} {}", path.display()))?;
        self.planned.push((option.to_owned(), real));
        Ok(())
    }

    /// Whether a file of this name is announced already.
    pub fn is_planned(&self, path: &Path) -> bool {
        resolve(path).is_ok_and(|real| self.planned.iter().any(|(_, p)| *p == real))
    }

    /// Writes a file under its temporary name.
    pub fn stage<E: Into<CliError>>(
        &mut self,
        path: &Path,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
    ) -> Result<(), CliError> {
        let file = Self::written(path, write)?;
        self.staged.push((file, path.to_owned()));
        Ok(())
    }

    /// Writes a file that stays as it is where another run has written it meanwhile.
    pub fn stage_shared(&mut self, path: &Path, text: &str) -> Result<(), CliError> {
        let file = Self::written(path, |out| out.write_all(text.as_bytes()))?;
        self.shared.push((file, path.to_owned()));
        Ok(())
    }

    fn written<E: Into<CliError>>(
        path: &Path,
        write: impl FnOnce(&mut BufWriter<&mut File>) -> Result<(), E>,
    ) -> Result<NamedTempFile, CliError> {
        let mut file = temporary(path).about(format!("cannot write {}", path.display()))?;
        signals::unfinished(file.path());
        let mut out = BufWriter::with_capacity(1 << 16, file.as_file_mut());
        write(&mut out).map_err(|e| about(e.into(), path))?;
        out.flush().at(path)?;
        drop(out);
        // On the disk before the name is: after a power cut the file is whole or absent.
        file.as_file().sync_all().at(path)?;
        Ok(file)
    }

    /// [`Outputs::stage`] for bytes at hand.
    pub fn stage_bytes(&mut self, path: &Path, bytes: &[u8]) -> Result<(), CliError> {
        self.stage(path, |out| out.write_all(bytes))
    }

    /// Gives every file its name, the first staged last: where it is, the others are.
    pub fn commit(self) -> Result<(), CliError> {
        let failed = |error: std::io::Error, path: &Path| Err(error).about(format!("cannot write {}", path.display()));
        for (file, path) in self.shared {
            match file.persist_noclobber(&path) {
                Err(e) if e.error.kind() != ErrorKind::AlreadyExists => return failed(e.error, &path),
                _ => {}
            }
        }
        for (file, path) in self.staged.into_iter().rev() {
            let done = match self.force {
                true => file.persist(&path),
                false => file.persist_noclobber(&path),
            };
            if let Err(e) = done {
                return failed(e.error, &path);
            }
        }
        Ok(())
    }
}

/// # Errors
/// The name ends in none of `endings`, or is nothing but one.
pub(super) fn ends_in(option: &str, path: Option<&Path>, endings: &[&str]) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    let name = file_name(path).to_ascii_lowercase();
    if endings.iter().any(|e| name.ends_with(e) && name.len() > e.len()) {
        return Ok(());
    }
    Err(CliError::usage(format!("{option} {}: the name must end in {}", path.display(), endings.join(" or "))))
}

fn about(error: CliError, path: &Path) -> CliError {
    match error {
        CliError::Failed { context: None, cause } => {
            CliError::Failed { context: Some(path.display().to_string()), cause }
        }
        other => other,
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A temporary file in the output's own folder, so that renaming is one step; readable as any new file is.
fn temporary(path: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".unetr-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder(path))
}

/// The path without links and dots, whether the file exists or not.
fn resolve(path: &Path) -> Result<PathBuf, CliError> {
    if let Ok(real) = path.canonicalize() {
        return Ok(real);
    }
    let Some(name) = path.file_name() else {
        return Err(CliError::usage(format!("{} names no file", path.display())));
    };
    let folder = folder(path);
    let real = folder.canonicalize().about(format!("output folder {}", folder.display()))?;
    Ok(real.join(name))
}
