//! What `unetr segment` says: the plan before the work, the labels after it.

use super::console::{bytes, fact, grouped, sizes, warn_all};
use super::table::Table;
use crate::gpu::AdapterReport;
use crate::infer::Prepared;
use crate::report::Statistics;
use crate::volume::{Study, Volume};
use crate::weights::Metadata;

/// What is about to happen.
pub(super) struct SegmentPlan<'a> {
    pub adapter: &'a AdapterReport,
    pub metadata: &'a Metadata,
    /// SHA-256 of the model.
    pub hash: &'a str,
    pub scans: &'a Study,
    pub prepared: &'a Prepared,
    pub overlap: f64,
    pub blend: &'a str,
    pub precision: &'a str,
    /// What is unlike the model's training scans, if the model says what these were like.
    pub doubts: Option<Vec<String>>,
}

impl SegmentPlan<'_> {
    /// Tells the user.
    pub fn show(&self) {
        let m = self.metadata;
        fact("adapter", self.adapter.to_string());
        let parameters = grouped(m.network.parameter_count());
        let short = self.hash.get(..16).unwrap_or_default();
        let model = format!("{} {}, {parameters} parameters, SHA-256 {short}...", m.name, m.version);
        fact("model", model);
        let channels = self.scans.volume.channels;
        let scan = format!("{}, {channels} channel(s)", grid(&self.scans.volume));
        fact("scan", scan);
        fact("grid", grid(&self.prepared.volume));
        let windows = format!(
            "{} of {}, overlap {}, {}",
            self.prepared.windows(),
            sizes(self.prepared.grid().roi),
            self.overlap,
            self.blend
        );
        fact("windows", windows);
        let memory = self.prepared.memory();
        let memory = format!(
            "{} on the device: weights {} ({}), network {}, stitching {}",
            bytes(memory.total()),
            bytes(memory.network.weights),
            self.precision,
            bytes(memory.network.total() - memory.network.weights),
            bytes(memory.stitching),
        );
        fact("memory", memory);
        warn_all("preprocessing", &self.prepared.warnings);
        warn_all("model and scan", self.doubts.as_deref().unwrap_or_default());
    }
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
