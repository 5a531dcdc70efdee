//! Example pictures, embedded as far as the report stays small.

use std::path::{Component, Path};

use super::html::{base64, decimals, escape, name};
use crate::train::log::OVERLAYS;
use crate::train::log::history::History;
use crate::train::log::records::{OverlayRecord, ValidationRecord};

/// Bytes of all embedded pictures together, before base64 makes a third more of them.
const ROOM: usize = 700_000;

/// The pictures of the best validation, or of the latest that has any.
pub(super) fn pictures(run: &Path, history: &History) -> String {
    let latest = history.validations.values().rev();
    let chosen =
        history.best().into_iter().chain(latest).map(|v| (v, found(run, v))).find(|(_, found)| !found.is_empty());
    let Some((validation, found)) = chosen else {
        return String::new();
    };
    let mut out = format!(
        "<section aria-labelledby=\"examples\"><h2 id=\"examples\">Examples</h2>\n<p class=\"quiet\">Validation after step {}. \
         Truth on the left, prediction on the right, on the same planes.</p>\n<div class=\"pictures\">\n",
        super::html::count(validation.step)
    );
    let mut room = ROOM;
    let mut left_out = 0;
    for (overlay, png) in &found {
        if png.len() > room {
            left_out += 1;
            continue;
        }
        room -= png.len();
        let case = validation.cases.iter().find(|c| c.case == overlay.case);
        let dice = case.map(|c| format!("Dice {}", decimals(c.mean_dice(), 3)));
        let dice = dice.unwrap_or_default();
        let alt = format!("Case {}, {}, {dice}: truth and prediction over the scan", overlay.case, overlay.title);
        out += &format!(
            "<figure><img src=\"data:image/png;base64,{}\" alt=\"{}\"><figcaption><b>{}</b> {} <span>{dice}</span></figcaption></figure>\n",
            base64(png),
            escape(&alt),
            escape(&overlay.title),
            name(&overlay.case),
        );
    }
    out += "</div>\n";
    if left_out > 0 {
        out += &format!(
            "<p class=\"quiet\">{left_out} further pictures are too large for this page: see the folder {OVERLAYS}.</p>\n"
        );
    }
    out + "</section>\n"
}

/// Its pictures that are still there.
fn found<'a>(run: &Path, validation: &'a ValidationRecord) -> Vec<(&'a OverlayRecord, Vec<u8>)> {
    let read = |overlay: &'a OverlayRecord| {
        let file = Path::new(&overlay.file);
        // A name in the records may not lead out of the folder.
        let plain = matches!(file.components().collect::<Vec<_>>()[..], [Component::Normal(_)]);
        let bytes = plain.then(|| std::fs::read(run.join(OVERLAYS).join(file)).ok()).flatten()?;
        bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some((overlay, bytes))
    };
    validation.overlays.iter().filter_map(read).collect()
}
