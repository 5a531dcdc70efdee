//! Orders of channels that networks for the BraTS challenges are trained with, by name.
//!
//! # Source
//! MONAI `ConvertToMultiChannelBasedOnBratsClasses` (1.6.1: tumour core, whole tumour, enhancing tumour; values 1, 2, 4, of
//! BraTS 2023 1, 2, 3); nnU-Net's region-based training (`regions_class_order` 1, 2, 3; values of its conversion).

use serde_json::{Value, json};

/// Three regions in each other, and what is left of each when the next is painted over it.
#[derive(Debug)]
pub struct BratsOrder {
    /// Its name in a package file and on the command line.
    pub name: &'static str,
    /// In the order in which they are painted: from the outermost.
    pub regions: [BratsRegion; 3],
}

/// One of the regions.
#[derive(Debug)]
pub struct BratsRegion {
    pub name: &'static str,
    /// The channel of the logits.
    pub channel: usize,
    /// The value that is its own.
    pub value: u16,
    /// The name of that value.
    pub label: &'static str,
    /// All values within it.
    pub values: &'static [u16],
}

const fn order(name: &'static str, channels: [usize; 3], values: &'static [u16; 3]) -> BratsOrder {
    let [whole, core, enhancing] = channels;
    BratsOrder {
        name,
        regions: [
            BratsRegion { name: "WT", channel: whole, value: values[0], label: "edema", values },
            BratsRegion {
                name: "TC",
                channel: core,
                value: values[1],
                label: "non_enhancing_tumour",
                values: values.split_at(1).1,
            },
            BratsRegion {
                name: "ET",
                channel: enhancing,
                value: values[2],
                label: "enhancing_tumour",
                values: values.split_at(2).1,
            },
        ],
    }
}

/// The orders that are known.
pub const BRATS_ORDERS: [BratsOrder; 3] = [
    order("brats-monai", [1, 0, 2], &[2, 1, 4]),
    order("brats-monai-2023", [1, 0, 2], &[2, 1, 3]),
    order("brats-nnunet", [0, 1, 2], &[1, 2, 3]),
];

impl BratsOrder {
    /// The order of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        BRATS_ORDERS.iter().find(|order| order.name == name)
    }

    /// The package's `output.regions`.
    #[must_use]
    pub fn regions(&self) -> Value {
        self.regions.iter().map(|r| json!({"channel": r.channel, "value": r.value})).collect()
    }

    /// The package's `output.labels`.
    #[must_use]
    pub fn labels(&self) -> Value {
        let colors = ["#4f9e5d", "#3f6fbf", "#d9a23b"];
        let label = |(r, color): (&BratsRegion, &str)| json!({"value": r.value, "name": r.label, "color": color});
        self.regions.iter().zip(colors).map(label).collect()
    }
}
