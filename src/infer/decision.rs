//! From finished planes of the model's grid to labels on the scan: which scan voxels can be decided when, and how.

use crate::kernels::decide::{Decide, TIE};
use crate::volume::{Geometry, Place};
use crate::weights::package::{Activation, OutputSection};

/// A class's label and, for regions, its rank: the region painted last wins.
pub(super) fn channel_table(output: &OutputSection, classes: usize) -> Vec<[f32; 2]> {
    match output.activation {
        Activation::Softmax => (0..classes).map(|k| [k as f32, 0.0]).collect(),
        Activation::Sigmoid => {
            // A channel that no region names has rank 0 and never wins.
            let mut table = vec![[0.0, 0.0]; classes];
            for (rank, region) in output.regions.iter().enumerate() {
                if let Some(entry) = table.get_mut(region.channel) {
                    *entry = [f32::from(region.value), rank as f32 + 1.0];
                }
            }
            table
        }
    }
}

/// How a voxel's values become its label.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rules {
    /// Regions by rank instead of the greatest value.
    pub regions: bool,
    /// The values are logits.
    pub logits: bool,
    /// What a region's value exceeds.
    pub least: f32,
}

impl Rules {
    /// The label of one voxel's values: what the kernel does, for scans that it cannot map.
    pub fn label(self, table: &[[f32; 2]], values: &[f32]) -> u16 {
        let mut winner = if self.logits && !self.regions { (f32::MIN, 0.0) } else { (0.0, 0.0) };
        let more = if self.logits { TIE } else { 0.0 };
        for (&value, &[label, rank]) in values.iter().zip(table) {
            if self.regions && value > self.least && rank > winner.0 {
                winner = (rank, label);
            } else if !self.regions && value > winner.0 + more {
                winner = (value, label);
            }
        }
        winner.1 as u16
    }

    /// Logits of one voxel as probabilities; outside of what was cropped is background.
    pub fn activate(self, values: &mut [f32], inside: bool) {
        if !inside {
            values.fill(0.0);
            if let Some(background) = values.first_mut().filter(|_| !self.regions) {
                *background = 1.0;
            }
            return;
        }
        if self.regions {
            values.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp()));
            return;
        }
        let most = values.iter().copied().fold(f32::MIN, f32::max);
        values.iter_mut().for_each(|v| *v = (*v - most).exp());
        let sum: f32 = values.iter().sum();
        values.iter_mut().for_each(|v| *v /= sum);
    }

    /// How undecided the model is about one voxel, from 0 to 1: the entropy of its class probabilities over that of classes
    /// which are all as likely, `-Σ p ln p / ln K`; of regions, the mean of each one's over `ln 2`. `values` are those that are
    /// brought back to a voxel within what was cropped, and are changed.
    pub fn uncertainty(self, values: &mut [f32]) -> f32 {
        if self.logits {
            self.activate(values, true);
        }
        let term = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        let count = values.len() as f64;
        let values = values.iter().map(|v| f64::from(*v).max(0.0));
        if self.regions {
            let each = values.map(|p| p.min(1.0)).map(|p| term(p) + term(1.0 - p));
            return (each.sum::<f64>() / count / 2.0_f64.ln()) as f32;
        }
        // At the border of a crop they do not come to 1; outside of it they are 0: there is no doubt.
        let sum: f64 = values.clone().sum();
        if sum <= 0.0 {
            return 0.0;
        }
        (values.map(|p| term(p / sum)).sum::<f64>() / count.ln()).clamp(0.0, 1.0) as f32
    }
}

/// A place as the kernel reads it: the neighbour below, and the lesser weight, negative where it is the one below's.
fn entry(place: &Place) -> [f32; 2] {
    [place.low as f32, if place.below < place.above { -place.below } else { place.above }]
}

/// The way from the model's grid to the labels' grid, and the axis along which labels become ready.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The kernel, with box and part still open.
    pub op: Decide,
    /// Where the voxels of the labels' grid lie, as [`Decide`] reads it, axis after axis.
    pub tables: Vec<f32>,
    /// Size of the labels' grid.
    pub dims: [usize; 3],
    /// The labels' grid is the scan's.
    pub on_scan: bool,
    /// The axis of the labels' grid along which slices become ready.
    axis: usize,
    /// From its end.
    backwards: bool,
    ready: usize,
}

impl Decision {
    /// Labels on the model's own grid.
    pub fn on_model_grid(dims: [usize; 3], shift: [usize; 3], rules: Rules) -> Self {
        let tables = dims.iter().flat_map(|n| (0..*n).flat_map(|i| [i as f32, 0.0])).collect();
        Self { on_scan: false, ..Self::new((dims, dims), shift, rules, [0, 1, 2], tables) }
    }

    /// Labels on the scan's grid; `None` if the way does not follow the axes.
    pub fn on_scan(geometry: &Geometry, shift: [usize; 3], rules: Rules) -> Option<Self> {
        let tables = geometry.axis_tables()?;
        let axes = tables.each_ref().map(|table| table.scan_axis);
        let values = tables.iter().flat_map(|t| &t.places).flat_map(entry).collect();
        Some(Self::new((geometry.scan_dims, geometry.model_dims()), shift, rules, axes, values))
    }

    /// `dims`: of the labels' grid and of the model's.
    fn new(
        (dims, size): ([usize; 3], [usize; 3]),
        shift: [usize; 3],
        rules: Rules,
        axes: [usize; 3],
        tables: Vec<f32>,
    ) -> Self {
        let Rules { regions, logits, least } = rules;
        let op = Decide {
            first: true,
            regions,
            logits,
            least,
            axes,
            size,
            shift,
            begin: [0; 3],
            extent: [0; 3],
            scan: dims,
        };
        let along_x =
            || tables.chunks(2).take(dims[axes[0]]).filter_map(|place| place.first().filter(|low| **low >= 0.0));
        let backwards = along_x().next() > along_x().next_back();
        Self { op, tables, dims, on_scan: true, axis: axes[0], backwards, ready: 0 }
    }

    /// Voxels of one slice across the axis of progress.
    pub fn slice_voxels(&self) -> usize {
        self.dims.iter().product::<usize>() / self.dims[self.axis].max(1)
    }

    /// Boxes of at most `most` voxels that can be decided once the ring's first `planes` planes are finished, and that
    /// were not handed out before. Slices become ready from the end where the model's X begins.
    pub fn boxes(&mut self, planes: usize, most: usize) -> Vec<([usize; 3], [usize; 3])> {
        let a = self.axis;
        let slices = self.dims[a];
        let from = self.ready;
        while self.ready < slices && self.needs(self.slice(self.ready)) <= planes {
            self.ready += 1;
        }
        let per_box = (most / self.slice_voxels().max(1)).max(1);
        (from..self.ready)
            .step_by(per_box)
            .map(|first| {
                let last = (first + per_box).min(self.ready) - 1;
                let (low, high) = (self.slice(first).min(self.slice(last)), self.slice(first).max(self.slice(last)));
                let (mut begin, mut extent) = ([0; 3], self.dims);
                (begin[a], extent[a]) = (low, high - low + 1);
                (begin, extent)
            })
            .collect()
    }

    /// The slice handed out as number `order`.
    fn slice(&self, order: usize) -> usize {
        if self.backwards { self.dims[self.axis] - 1 - order } else { order }
    }

    /// How many planes of the padded volume must be finished before this slice can be decided.
    fn needs(&self, slice: usize) -> usize {
        let place = self.tables.get(2 * slice..2 * slice + 2);
        let [low, weight] = place.and_then(|p| p.try_into().ok()).unwrap_or([-2.0, 0.0]);
        // Saturates at 0 for places that were cropped away.
        let inside = (low + 1.0 + f32::from(weight != 0.0)) as usize;
        self.op.shift[0] + inside.min(self.op.size[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(scale: f64, offset: f64, slices: usize) -> Decision {
        let place = |i: usize| {
            let c = (scale * i as f64 + offset).clamp(0.0, 19.0) - 2.0;
            [c.floor() as f32, (c - c.floor()) as f32]
        };
        let tables = (0..slices).flat_map(place).collect();
        Decision::new(([3, slices, 2], [15, 3, 2]), [1, 0, 0], Rules::default(), [1, 0, 2], tables)
    }

    #[test]
    fn every_slice_is_handed_out_once_when_its_planes_are_there() {
        for (scale, offset, slices) in [(0.7, 0.0, 28), (-1.3, 19.0, 15), (1.0, 0.0, 20)] {
            let mut d = decision(scale, offset, slices);
            let mut seen = vec![0; slices];
            for planes in 1..=16 {
                for (begin, extent) in d.boxes(planes, 12) {
                    for (slice, count) in seen.iter_mut().enumerate().skip(begin[1]).take(extent[1]) {
                        *count += 1;
                        let c = (scale * slice as f64 + offset).clamp(0.0, 19.0);
                        let last = (c.ceil() as usize).min(16).saturating_sub(2) + 1;
                        assert!(c.ceil() < 2.0 || last < planes, "slice {slice} at {c} after {planes} planes");
                    }
                    assert!(extent.iter().product::<usize>() <= 12, "box {extent:?}");
                }
            }
            assert_eq!(seen, vec![1; slices], "scale {scale}");
        }
    }

    #[test]
    fn uncertainty_is_entropy_of_what_could_be() {
        let near = |rules: Rules, values: &[f32], want: f64| {
            let got = rules.uncertainty(&mut values.to_vec());
            assert!((f64::from(got) - want).abs() < 1e-6, "{values:?}: {got} for {want}");
        };
        let (classes, regions) = (Rules::default(), Rules { regions: true, ..Rules::default() });
        near(classes, &[0.25; 4], 1.0);
        near(classes, &[0.0, 1.0, 0.0], 0.0);
        // -(0.7 ln 0.7 + 0.2 ln 0.2 + 0.1 ln 0.1) / ln 3
        near(classes, &[0.7, 0.2, 0.1], 0.729_846_7);
        // Half of the way out of a crop, and outside.
        near(classes, &[0.35, 0.1, 0.05], 0.729_846_7);
        near(classes, &[0.0; 3], 0.0);
        // ln of the same.
        near(Rules { logits: true, ..classes }, &[0.7_f32.ln(), 0.2_f32.ln(), 0.1_f32.ln()], 0.729_846_7);
        near(Rules { logits: true, ..classes }, &[0.0; 3], 1.0);
        near(regions, &[0.5, 1.0], 0.5);
        // -(0.9 ln 0.9 + 0.1 ln 0.1) / ln 2
        near(regions, &[0.9, 0.1], 0.468_995_6);
        near(Rules { logits: true, ..regions }, &[9.0_f32.ln(), -(9.0_f32.ln())], 0.468_995_6);
    }

    #[test]
    fn later_regions_are_painted_over_earlier_ones() {
        let table = [[2.0, 1.0], [1.0, 2.0], [4.0, 3.0], [0.0, 0.0]];
        let regions = Rules { regions: true, logits: false, least: 0.5 };
        assert_eq!(regions.label(&table, &[0.9, 0.6, 0.5, 0.9]), 1);
        assert_eq!(regions.label(&table, &[0.9, 0.6, 0.51, 0.9]), 4);
        assert_eq!(regions.label(&table, &[0.1, 0.2, 0.3, 0.9]), 0);
        assert_eq!(Rules { logits: true, least: 0.0, ..regions }.label(&table, &[0.1, 0.2, -0.3, 0.9]), 1);
        let classes = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]];
        assert_eq!(Rules::default().label(&classes, &[0.2, 0.4, 0.4]), 1);
        assert_eq!(Rules { regions: false, logits: true, least: 0.0 }.label(&classes, &[-3.0, -2.0, -2.5]), 1);
    }
}
