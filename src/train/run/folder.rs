//! The folder of a run, held by one program at a time.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::dataset::Case;
use crate::train::data::Split;
use crate::train::files::{is_partial, write_atomically};
use crate::train::log::OVERLAYS;
use crate::train::{Recipe, TrainError};

/// A run's folder. While it lives, no other run can use the folder.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    _lock: File,
    /// Whether a run is in it; if none has begun, what was made for it goes again.
    begun: bool,
}

impl RunFolder {
    /// Makes a folder for a new run, which begins with [`RunFolder::begin`].
    ///
    /// # Errors
    /// It holds a run already, cannot be made or written to, or is in use.
    pub fn claim(path: &Path) -> Result<Self, TrainError> {
        if path.join(RECIPE).exists() {
            return Err(TrainError::RunExists { path: path.to_owned() });
        }
        // A lock without a recipe: a program was killed between its first checkpoint and its recipe. What it wrote goes.
        let cut_short = path.join(LOCK).exists();
        let begun = ["model.safetensors", "metrics.jsonl", "report.html"];
        let first = ["split.json", "checkpoints/last.safetensors"];
        let ours = begun.iter().chain(first.iter().filter(|_| !cut_short));
        if let Some(other) = ours.into_iter().find(|name| path.join(name).exists()) {
            let problem = format!("holds {other}, which a run would overwrite; give another folder");
            return Err(TrainError::Folder { path: path.to_owned(), problem });
        }
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(|e| io(&checkpoints, e))?;
        let folder = Self { path: path.to_owned(), _lock: lock(path)?, begun: false };
        folder.sweep();
        for left in first.iter().filter(|_| cut_short) {
            let _ = std::fs::remove_file(path.join(left));
        }
        Ok(folder)
    }

    /// Writes what the run follows from. From now on the folder holds a run.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn begin(&mut self, recipe: &Recipe, split: &Split) -> Result<(), TrainError> {
        let names = |cases: &[Case]| cases.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let lists = json!({"training": names(&split.training), "validation": names(&split.validation)});
        self.write("split.json", &(format!("{lists:#}\n")))?;
        // Last: a folder with a recipe is a run.
        self.write(RECIPE, &recipe.to_toml())?;
        self.begun = true;
        Ok(())
    }

    /// Opens the folder of a run to go on with it; gives its recipe too.
    ///
    /// # Errors
    /// There is no run in it, or it is in use.
    pub fn open(path: &Path) -> Result<(Self, Recipe), TrainError> {
        let file = path.join(RECIPE);
        let text = std::fs::read_to_string(&file).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => TrainError::NoRun { path: path.to_owned(), file: RECIPE },
            _ => io(&file, e),
        })?;
        let folder = Self { path: path.to_owned(), _lock: lock(path)?, begun: true };
        folder.sweep();
        Ok((folder, Recipe::read(&text)?))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest checkpoint.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints").join("last.safetensors")
    }

    /// The best package.
    pub fn model(&self) -> PathBuf {
        self.path.join("model.safetensors")
    }

    /// Prepared cases that do not fit in memory.
    pub fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Removes what a killed program left half-written; nobody else writes here now.
    fn sweep(&self) {
        for folder in [self.path.clone(), self.path.join("checkpoints"), self.path.join(OVERLAYS)] {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if is_partial(&entry.path()) {
                    // What stays does no harm but take room.
                    let _ = std::fs::remove_file(entry.path());
                }
            }
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), TrainError> {
        let path = self.path.join(name);
        write_atomically(&path, |out| out.write_all(text.as_bytes())).map_err(|e| io(&path, e))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.begun {
            let _ = std::fs::remove_file(self.path.join("split.json"));
            let _ = std::fs::remove_file(self.last());
            let _ = std::fs::remove_file(self.path.join(LOCK));
            // Only where they are empty: prepared cases are worth keeping.
            for folder in [self.path.join("checkpoints"), self.cache(), self.path.clone()] {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }
}

const LOCK: &str = ".lock";
const RECIPE: &str = "recipe.toml";

fn io(path: &Path, source: std::io::Error) -> TrainError {
    TrainError::Io { path: path.to_owned(), source }
}

/// The lock ends with the program, however it ends.
fn lock(folder: &Path) -> Result<File, TrainError> {
    let path = folder.join(LOCK);
    let file = File::create(&path).map_err(|e| io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let problem = "another program trains in it: wait for it or stop it".to_owned();
            Err(TrainError::Folder { path: folder.to_owned(), problem })
        }
        Err(TryLockError::Error(e)) => Err(io(&path, e)),
    }
}
