//! From finished planes of the model's grid to labels on the scan: which scan voxels can be decided when, and how.

use std::sync::Arc;

use crate::kernels::decide::{Decide, Places};
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

    /// Logits `(classes, voxels)` as probabilities.
    pub fn activate_all(self, values: &mut [f32], classes: usize, inside: impl Fn(usize) -> bool) {
        let voxels = values.len() / classes.max(1);
        let mut one = vec![0.0; classes];
        for at in 0..voxels {
            one.iter_mut().enumerate().for_each(|(class, v)| *v = values[class * voxels + at]);
            self.activate(&mut one, inside(at));
            one.iter().enumerate().for_each(|(class, v)| values[class * voxels + at] = *v);
        }
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

/// Which planes of the padded volume a slice of labels is made of: the first, and the one behind the last.
type Span = [usize; 2];

/// The way from the model's grid to the labels' grid, and the axis along which labels become ready.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The kernel, with box and part still open.
    pub op: Decide,
    /// Where the voxels of the labels' grid lie, as [`Decide`] reads it, axis after axis; of voxels box by box.
    pub tables: Vec<f32>,
    /// Size of the labels' grid.
    pub dims: [usize; 3],
    /// The labels' grid is the scan's.
    pub on_scan: bool,
    /// The axis of the model's grid along which planes are finished.
    ring: usize,
    /// The axis of the labels' grid along which slices become ready.
    axis: usize,
    /// Of each slice.
    spans: Vec<Span>,
    /// Slices from the end where the planes begin, in the order in which they are handed out.
    order: Vec<usize>,
    ready: usize,
    /// The way back of a grid whose axes are not the scan's.
    way: Option<Arc<Geometry>>,
    /// Planes whose voxels were decided, where a slice is not decided at once.
    decided: usize,
}

impl Decision {
    /// Labels on the model's own grid, whose planes are finished along the axis `ring`.
    pub fn on_model_grid(dims: [usize; 3], shift: [usize; 3], ring: usize, rules: Rules) -> Self {
        let tables = dims.iter().flat_map(|n| (0..*n).flat_map(|i| [i as f32, 0.0])).collect();
        let spans = (0..dims[ring]).map(|i| [shift[ring] + i, shift[ring] + i + 1]).collect();
        let op = op((dims, dims), shift, rules, [0, 1, 2], Places::Neighbours);
        Self { on_scan: false, ..Self::new(op, tables, ring, ring, spans) }
    }

    /// Labels on the scan's grid.
    pub fn on_scan(geometry: &Geometry, shift: [usize; 3], ring: usize, rules: Rules) -> Self {
        let grids = (geometry.scan_dims, geometry.model_dims());
        if let Some(axes) = geometry.axis_taps() {
            let taps = axes.iter().flat_map(|axis| axis.taps.iter().map(Vec::len)).max().unwrap_or(1).max(1);
            let spans = axes[ring].taps.iter().map(|list| match (list.first(), list.last()) {
                (Some((first, _)), Some((last, _))) => [shift[ring] + first, shift[ring] + last + 1],
                _ => [0, 0],
            });
            let spans = spans.collect();
            let list = |list: &Vec<(usize, f32)>| -> Vec<f32> {
                let mut padded = list.clone();
                padded.resize(taps, (0, 0.0));
                padded.iter().flat_map(|(at, weight)| [*at as f32, *weight]).collect()
            };
            let tables = axes.iter().flat_map(|axis| axis.taps.iter().flat_map(list)).collect();
            let scan_axes = axes.each_ref().map(|axis| axis.scan_axis);
            return Self::new(
                op(grids, shift, rules, scan_axes, Places::Taps(taps)),
                tables,
                ring,
                scan_axes[ring],
                spans,
            );
        }
        if let Some(tables) = geometry.axis_tables() {
            let axes = tables.each_ref().map(|table| table.scan_axis);
            let values = tables.iter().flat_map(|t| &t.places).flat_map(entry).collect();
            let spans = tables[ring].places.iter().map(|place| span(place, shift[ring], grids.1[ring])).collect();
            return Self::new(op(grids, shift, rules, axes, Places::Neighbours), values, ring, axes[ring], spans);
        }
        let axis = along(geometry, ring);
        let spans = (0..grids.0[axis]).map(|slice| {
            let (mut begin, mut extent) = ([0; 3], grids.0);
            (begin[axis], extent[axis]) = (slice, 1);
            let mut all: Option<Span> = None;
            geometry.places(begin, extent, |places| {
                let [first, end] = span(&places[ring], shift[ring], grids.1[ring]);
                if first < end {
                    all = Some(all.map_or([first, end], |[low, high]| [low.min(first), high.max(end)]));
                }
            });
            all.unwrap_or([0, 0])
        });
        let spans = spans.collect();
        let op = op(grids, shift, rules, [0, 1, 2], Places::Voxels);
        Self { way: Some(Arc::new(geometry.clone())), ..Self::new(op, Vec::new(), ring, axis, spans) }
    }

    fn new(op: Decide, tables: Vec<f32>, ring: usize, axis: usize, spans: Vec<Span>) -> Self {
        let mut inside = spans.iter().filter(|span| span[1] > span[0]);
        let backwards = inside.clone().next().map(|s| s[1]) > inside.next_back().map(|s| s[1]);
        let mut order: Vec<usize> = (0..spans.len()).collect();
        if backwards {
            order.reverse();
        }
        let dims = op.scan;
        Self { op, tables, dims, on_scan: true, ring, axis, spans, order, ready: 0, way: None, decided: 0 }
    }

    /// Voxels of one slice across the axis of progress.
    pub fn slice_voxels(&self) -> usize {
        self.dims.iter().product::<usize>() / self.dims[self.axis].max(1)
    }

    /// Entries of the table where `voxels` are decided at once.
    pub fn table_entries(&self, voxels: usize) -> usize {
        if self.way.is_some() { 3 * voxels } else { self.tables.len() / 2 }
    }

    /// Most voxels that are decided at once: each has its own places, which are made anew for every box.
    pub fn most_voxels(&self, most: usize) -> usize {
        if self.way.is_some() { most.min(BOX_OF_PLACES).max(self.slice_voxels()) } else { most }
    }

    /// Planes that must be kept of what was finished before, for voxels between them and the next.
    pub fn held(&self) -> usize {
        match self.way {
            Some(_) => 1,
            None => self.spans.iter().map(|[first, end]| end.saturating_sub(first + 1)).max().unwrap_or(0).max(1),
        }
    }

    /// Boxes of at most `most` voxels that can be decided once the ring's first `planes` planes are finished, and that
    /// were not handed out before. Slices become ready from the end where the model's planes begin.
    pub fn boxes(&mut self, planes: usize, most: usize) -> Vec<([usize; 3], [usize; 3])> {
        let a = self.axis;
        if self.way.is_some() {
            let begun = std::mem::replace(&mut self.decided, planes);
            let touched = |span: &Span| span[0] < planes && (span[1] > begun || begun == 0);
            let slices: Vec<usize> = (0..self.dims[a]).filter(|&i| self.spans.get(i).is_some_and(touched)).collect();
            return slices.chunk_by(|a, b| a + 1 == *b).flat_map(|run| self.cut(run, most)).collect();
        }
        let from = self.ready;
        while self.order.get(self.ready).is_some_and(|&slice| self.spans.get(slice).is_none_or(|s| s[1] <= planes)) {
            self.ready += 1;
        }
        self.cut(self.order.get(from..self.ready).unwrap_or_default(), most)
    }

    /// Slices that follow one another, up or down, as boxes.
    fn cut(&self, slices: &[usize], most: usize) -> Vec<([usize; 3], [usize; 3])> {
        let per_box = (most / self.slice_voxels().max(1)).max(1);
        let one = |chunk: &[usize]| {
            let (low, high) = (chunk.iter().min().copied().unwrap_or(0), chunk.iter().max().copied().unwrap_or(0));
            let (mut begin, mut extent) = ([0; 3], self.dims);
            (begin[self.axis], extent[self.axis]) = (low, high - low + 1);
            (begin, extent)
        };
        slices.chunks(per_box).map(one).collect()
    }

    /// The table of a box, and which of its voxels lie on planes that are finished since `begun` were, where each voxel has
    /// a place of its own.
    pub fn voxels(&self, begin: [usize; 3], extent: [usize; 3], begun: usize) -> Option<(Vec<f32>, Vec<bool>)> {
        let way = self.way.as_ref()?;
        let count: usize = extent.iter().product();
        let (shift, size) = (self.op.shift[self.ring], self.op.size[self.ring]);
        let (mut table, mut now) = (vec![0.0; 6 * count], Vec::with_capacity(count));
        way.places(begin, extent, |places| {
            let [_, end] = span(&places[self.ring], shift, size);
            let (at, due) = (now.len(), end <= self.decided && (end > begun || begun == 0));
            now.push(due);
            for (a, place) in places.iter().enumerate() {
                let own = if due { entry(place) } else { NOWHERE };
                table[2 * (a * count + at)..][..2].copy_from_slice(&own);
            }
        });
        Some((table, now))
    }

    /// Planes whose voxels were decided.
    pub fn decided(&self) -> usize {
        self.decided
    }
}

/// Voxels with places of their own that are decided at once.
const BOX_OF_PLACES: usize = 512 << 10;
/// The entry of a voxel without neighbours.
const NOWHERE: [f32; 2] = [-2.0, 0.0];

/// The kernel between the grids of the labels and of the model.
fn op(
    (scan, size): ([usize; 3], [usize; 3]),
    shift: [usize; 3],
    rules: Rules,
    axes: [usize; 3],
    places: Places,
) -> Decide {
    let Rules { regions, logits, least } = rules;
    Decide { first: true, regions, logits, least, axes, size, shift, begin: [0; 3], extent: [0; 3], scan, places }
}

/// The planes that a place is between, of a grid of `size` planes that begins at `shift`.
fn span(place: &Place, shift: usize, size: usize) -> Span {
    let first = place.low.max(0) as usize;
    // Saturates at 0 for places that were cropped away.
    let end = (place.low + 1 + i32::from(place.above > 0.0)).max(0) as usize;
    [shift + first.min(size.saturating_sub(1)), shift + end.min(size)]
}

/// The scan's axis along which places move most on the model's axis `ring`.
fn along(geometry: &Geometry, ring: usize) -> usize {
    let middle = geometry.scan_dims.map(|n| n / 2);
    let moved = |axis: usize| {
        let at = |index: usize| {
            let (mut begin, mut low) = (middle, 0);
            begin[axis] = index;
            geometry.places(begin, [1; 3], |places| low = places[ring].low);
            low
        };
        at(geometry.scan_dims[axis].saturating_sub(1)).abs_diff(at(0))
    };
    (0..3).max_by_key(|&axis| moved(axis)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Kernel;
    use crate::tensor::HostTensor;

    fn decision(scale: f64, offset: f64, slices: usize) -> Decision {
        let spans = (0..slices).map(|i| {
            let c = (scale * i as f64 + offset).clamp(0.0, 19.0) - 2.0;
            let above = (c - c.floor()) as f32;
            span(&Place { low: c.floor() as i32, below: 1.0 - above, above }, 1, 15)
        });
        let op = op(([3, slices, 2], [15, 3, 2]), [1, 0, 0], Rules::default(), [1, 0, 2], Places::Neighbours);
        Decision::new(op, Vec::new(), 0, 1, spans.collect())
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

    /// The label that the kernel's twin gives to a voxel of these values.
    fn label(rules: Rules, table: &[[f32; 2]], values: &[f32]) -> u16 {
        let op = Decide { extent: [1; 3], ..op(([1; 3], [1; 3]), [0; 3], rules, [0, 1, 2], Places::Neighbours) };
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let inputs = [
            HostTensor::new([values.len(), 1, 1, 1], wide(values)),
            HostTensor::new([table.len(), 2], wide(table.as_flattened())),
            HostTensor::zeros([3, 2]),
            HostTensor::zeros([1, 2]),
        ];
        op.reference(&inputs.each_ref())[0].data[1] as u16
    }

    #[test]
    fn later_regions_are_painted_over_earlier_ones() {
        let table = [[2.0, 1.0], [1.0, 2.0], [4.0, 3.0], [0.0, 0.0]];
        let regions = Rules { regions: true, logits: false, least: 0.5 };
        assert_eq!(label(regions, &table, &[0.9, 0.6, 0.5, 0.9]), 1);
        assert_eq!(label(regions, &table, &[0.9, 0.6, 0.51, 0.9]), 4);
        assert_eq!(label(regions, &table, &[0.1, 0.2, 0.3, 0.9]), 0);
        assert_eq!(label(Rules { logits: true, least: 0.0, ..regions }, &table, &[0.1, 0.2, -0.3, 0.9]), 1);
        let classes = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]];
        assert_eq!(label(Rules::default(), &classes, &[0.2, 0.4, 0.4]), 1);
        assert_eq!(label(Rules { regions: false, logits: true, least: 0.0 }, &classes, &[-3.0, -2.0, -2.5]), 1);
    }
}
