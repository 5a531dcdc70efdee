//! Kernel variants that `unetr tune` found best, kept by adapter, driver and version of this program in the user's cache folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{CliError, Context};
use super::output::Outputs;
use crate::digest::hex;
use crate::gpu::{AdapterReport, Choices};

/// What is kept in the file.
#[derive(Debug, Serialize, Deserialize)]
struct Tuning {
    adapter: String,
    backend: String,
    driver: String,
    version: String,
    choices: Choices,
}

/// The cache folder of this system's conventions; `None` where the environment names none.
fn folder() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        from("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        from("HOME")?.join("Library/Caches")
    } else {
        from("XDG_CACHE_HOME").or_else(|| Some(from("HOME")?.join(".cache")))?
    };
    Some(base.join("unetr").join("tuning"))
}

/// The file of an adapter.
pub(super) fn file(adapter: &AdapterReport) -> Option<PathBuf> {
    let key = [&adapter.name, &adapter.backend, &adapter.driver, env!("CARGO_PKG_VERSION")].join("\n");
    let digest = hex(&Sha256::digest(key)[..8]);
    Some(folder()?.join(format!("{digest}.json")))
}

/// What was found best for this adapter; nothing where it was not tuned, or the file is not of this adapter, driver and version.
pub(super) fn load(adapter: &AdapterReport) -> Choices {
    let read = || {
        let tuning: Tuning = serde_json::from_slice(&std::fs::read(file(adapter)?).ok()?).ok()?;
        let own = tuning.adapter == adapter.name
            && tuning.backend == adapter.backend
            && tuning.driver == adapter.driver
            && tuning.version == env!("CARGO_PKG_VERSION");
        own.then_some(tuning.choices)
    };
    read().unwrap_or_default()
}

/// Keeps what was found best, beside what other networks' tuning found on the same adapter; gives the file.
///
/// # Errors
/// [`CliError`] if there is no cache folder or it cannot be written.
pub(super) fn save(adapter: &AdapterReport, choices: &Choices) -> Result<PathBuf, CliError> {
    let path = file(adapter).ok_or_else(|| {
        CliError::failed(
            "there is no folder to keep the tuning in: set XDG_CACHE_HOME or HOME to one that can be written",
        )
    })?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).about(format!("cannot make {}", folder.display()))?;
    }
    let tuning = Tuning {
        adapter: adapter.name.clone(),
        backend: adapter.backend.clone(),
        driver: adapter.driver.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        choices: choices.clone(),
    };
    let mut outputs = Outputs::new(true, &[]);
    outputs.plan("tuning", &path)?;
    let text = serde_json::to_vec_pretty(&tuning).map_err(|e| CliError::failed(e.to_string()))?;
    outputs.stage_bytes(&path, &text)?;
    outputs.commit()?;
    Ok(path)
}
