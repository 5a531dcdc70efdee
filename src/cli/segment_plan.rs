//! What `unetr segment` says: the plan before the work, the labels after it.

use super::console::{bytes, fact, grouped, sizes, warn_all};
use super::table::Table;
use crate::report::Statistics;
use crate::report::provenance::Origin;
use crate::volume::Volume;

/// Tells the user what is about to happen.
pub(super) fn show(run: &Origin<'_>) {
    let (segmenter, study, prepared) = (run.segmenter, run.study, run.prepared);
    let m = segmenter.metadata();
    fact("adapter", segmenter.gpu().adapter().to_string());
    let parameters = grouped(m.network.parameter_count());
    let short = run.model_sha256.get(..16).unwrap_or_default();
    fact("model", format!("{} {}, {parameters} parameters, SHA-256 {short}...", m.name, m.version));
    fact("scan", format!("{}, {} channel(s)", grid(&study.volume), study.volume.channels));
    fact("grid", grid(&prepared.volume));
    let windows = format!(
        "{} of {}, overlap {}, {}",
        prepared.windows(),
        sizes(prepared.grid().roi),
        prepared.overlap,
        segmenter.blend().name()
    );
    fact("windows", windows);
    let memory = prepared.memory();
    let memory = format!(
        "{} on the device: weights {} ({}), network {}, stitching {}",
        bytes(memory.total()),
        bytes(memory.network.weights),
        if segmenter.options().half_weights { "f16" } else { "f32" },
        bytes(memory.network.total() - memory.network.weights),
        bytes(memory.stitching),
    );
    fact("memory", memory);
    warn_all("preprocessing", &prepared.warnings);
    warn_all("model and scan", run.doubts.unwrap_or_default());
}

/// Size, spacing and orientation.
fn grid(volume: &Volume) -> String {
    format!(
        "{} voxels of {} mm, {}",
        sizes(volume.dims),
        sizes(volume.affine.spacing().map(|s| format!("{s:.3}"))),
        volume.affine.axis_codes()
    )
}

/// The labels with their volumes.
pub(super) fn label_table(numbers: &Statistics) -> String {
    let mut table = Table::new(&["label", "value", "voxels", "ml", "touches border"]);
    for label in &numbers.labels {
        table.row([
            label.name.clone(),
            label.value.to_string(),
            label.voxels.to_string(),
            format!("{:.3}", label.volume_ml),
            if label.touches_border { "yes" } else { "no" }.to_owned(),
        ]);
    }
    table.render()
}
