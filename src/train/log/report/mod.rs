//! `report.html`: one file that needs nothing else, for people.
//!
//! Styles, script and pictures are inside, and a content security policy forbids to load anything. Without the script
//! only the values under the pointer are missing. Its size does not grow with the length of a run.

mod axis;
mod chart;
mod curve;
mod curves;
mod html;
mod page;
mod pictures;
mod scores;

use std::path::Path;

use super::history::History;
use super::{LogError, file};

/// Name of the file in the run folder.
pub const REPORT: &str = "report.html";

/// Longer recipes are left out.
const LONGEST_RECIPE: u64 = 100_000;

/// Makes the report of a run from its records.
///
/// # Errors
/// [`LogError::Read`] or [`LogError::Line`] if the records cannot be read, [`LogError::Write`].
pub fn write_report(run: &Path) -> Result<(), LogError> {
    write(run, &History::read(run)?)
}

pub(super) fn write(run: &Path, history: &History) -> Result<(), LogError> {
    let recipe = run.join("recipe.toml");
    let fits = std::fs::metadata(&recipe).is_ok_and(|m| m.is_file() && m.len() <= LONGEST_RECIPE);
    // The report is complete without it.
    let text = fits.then(|| std::fs::read_to_string(&recipe).ok()).flatten();
    file::replace(&run.join(REPORT), page::page(run, history, text.as_deref()).as_bytes())
}
