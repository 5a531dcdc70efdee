//! From class probabilities (or logits) on the model's grid to labels on the scan's grid: interpolation and decision in one, so
//! that classes x scan is never stored; and the labels packed for reading back.
//!
//! The coordinate of a scan voxel on the model's grid lies in a table for each axis; values are trilinear between its eight
//! neighbours, zero outside the grid. Where several resamplings in a row mix more neighbours, the table lists them; where the axes
//! of scan and model are not parallel, it has a place for each voxel of the box.
//! Softmax models take the first class of the greatest value; region models the region of the highest rank above a threshold.
//! Source: MONAI `Invertd` with `nearest_interp=False`, `AsDiscrete`.

use super::{bind_read, bind_write, constant, kernel_name};
use crate::graph::{Case, Cost, Dispatch, GraphError, Io, Kernel, Target};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

/// Logits nearer than this have the same probability in single precision, of which the first class wins.
pub const TIE: f32 = 1.0 / (1 << 25) as f32;

/// The label that stands for a value that is not finite.
pub const NOT_FINITE: u16 = u16::MAX;

params!(Params {
    classes: u32,
    ring: u32,
    size_x: i32,
    size_y: i32,
    size_z: i32,
    volume_y: u32,
    shift_x: i32,
    shift_y: i32,
    shift_z: i32,
    volume_z: u32,
    begin_x: u32,
    begin_y: u32,
    begin_z: u32,
    table_y: u32,
    box_x: u32,
    box_y: u32,
    box_z: u32,
    table_z: u32,
    axis_x: u32,
    axis_y: u32,
    axis_z: u32,
    least: f32,
    taps: u32,
});
params!(PackParams { voxels: u32 });

/// What the table of [`Decide`] has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Places {
    /// For each index along an axis of the scan the neighbour below and the lesser weight, negative where it is that of the
    /// one below.
    #[default]
    Neighbours,
    /// So many neighbours with their weights, those of weight 0 last.
    Taps(usize),
    /// As `Neighbours`, for each voxel of the box.
    Voxels,
}

/// Decides one part of the classes in a box of the scan; arguments `p, channel, table, best`. The tables, one
/// for each axis of the model's grid, lie one after the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decide {
    /// Whether this is the first part.
    pub first: bool,
    /// Regions by rank instead of the greatest value.
    pub regions: bool,
    /// The values are logits.
    pub logits: bool,
    /// What a region's value exceeds.
    pub least: f32,
    /// The scan's axis of each table.
    pub axes: [usize; 3],
    /// Size of the scan.
    pub scan: [usize; 3],
    /// Size of the model's grid.
    pub size: [usize; 3],
    /// Where it begins in the padded volume of the ring.
    pub shift: [usize; 3],
    /// First voxel of the box.
    pub begin: [usize; 3],
    /// Size of the box.
    pub extent: [usize; 3],
    pub places: Places,
}

/// Labels as 16-bit numbers, two to a word; argument `best`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PackLabels {
    /// Voxels to pack.
    pub voxels: usize,
}

impl Kernel for Decide {
    kernel_name!("decide");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [p, channel, table, best]
                if p.rank() == 4
                    && channel.elements() == 2 * p.dims()[0]
                    && best.elements() >= 2 * self.extent.iter().product::<usize>()
                    && self.fits(table.elements()) =>
            {
                Ok(vec![best.clone()])
            }
            _ => Err(GraphError::new(format!("probabilities and labels do not fit: {inputs:?}"))),
        }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let d = io.input(0).dims();
        let [_, table_y, table_z, _] = self.offsets().map(|o| o as u32);
        let unsigned = |v: [usize; 3]| v.map(|x| x as u32);
        let signed = |v: [usize; 3]| v.map(|x| x as i32);
        let ([size_x, size_y, size_z], [shift_x, shift_y, shift_z]) = (signed(self.size), signed(self.shift));
        let ([begin_x, begin_y, begin_z], [box_x, box_y, box_z]) = (unsigned(self.begin), unsigned(self.extent));
        let [axis_x, axis_y, axis_z] = unsigned(self.axes);
        let params = Params {
            size_x,
            size_y,
            size_z,
            shift_x,
            shift_y,
            shift_z,
            begin_x,
            begin_y,
            begin_z,
            box_x,
            box_y,
            box_z,
            classes: d[0] as u32,
            ring: d[1] as u32,
            volume_y: d[2] as u32,
            volume_z: d[3] as u32,
            table_y,
            table_z,
            axis_x,
            axis_y,
            axis_z,
            least: self.least,
            taps: self.taps() as u32,
        };
        vec![Dispatch {
            shader: "decide",
            entry: "forward",
            constants: vec![
                ("FIRST", constant(self.first)),
                ("REGIONS", constant(self.regions)),
                ("LOGITS", constant(self.logits)),
                ("TAPS", constant(matches!(self.places, Places::Taps(_)))),
                ("VOXELS", constant(self.places == Places::Voxels)),
            ],
            params: params.block(),
            bindings: vec![bind_read(0), bind_read(1), bind_read(2), bind_write(0)],
            groups: groups(self.extent.iter().product::<usize>().div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (p, channel, mut best) = (inputs[0], inputs[1], inputs[3].clone());
        let least = f64::from(self.least);
        let start = if self.logits && !self.regions { f64::from(-3.4e38_f32) } else { 0.0 };
        let more = if self.logits { f64::from(TIE) } else { 0.0 };
        let d = p.shape.dims().to_vec();
        let e = self.extent;
        for index in 0..e.iter().product() {
            let v = [index / e[2] / e[1], index / e[2] % e[1], index % e[2]];
            let corners = self.corners(index, [0, 1, 2].map(|a| v[a] + self.begin[a]), inputs[2], &d);
            let mut winner = if self.first { (start, 0.0) } else { (best.data[2 * index], best.data[2 * index + 1]) };
            for k in (0..d[0]).filter(|_| !corners.is_empty()) {
                let value: f64 = corners.iter().map(|(at, w)| w * p.data[k * d[1] * d[2] * d[3] + at]).sum();
                let (label, rank) = (channel.data[2 * k], channel.data[2 * k + 1]);
                if self.regions && value > least && rank > winner.0 {
                    winner = (rank, label);
                } else if !self.regions && value > winner.0 + more {
                    winner = (value, label);
                }
            }
            best.data[2 * index..][..2].copy_from_slice(&[winner.0, winner.1]);
        }
        vec![best]
    }

    fn cost(&self, io: &Io) -> Cost {
        let voxels = self.extent.iter().product::<usize>() as f64;
        Cost { flops: 16.0 * voxels * io.input(0).dims()[0] as f64, bytes: io.bytes() }
    }
}

impl Decide {
    /// Where each axis' table begins, and where the last one ends, in entries.
    fn offsets(&self) -> [usize; 4] {
        let [x, y, z] = match self.places {
            Places::Voxels => [self.extent.iter().product(); 3],
            _ => self.axes.map(|axis| self.scan[axis]),
        };
        [0, x, x + y, x + y + z]
    }

    /// Neighbours in an entry, if it lists them.
    fn taps(&self) -> usize {
        if let Places::Taps(taps) = self.places { taps } else { 1 }
    }

    /// Whether a table has so many numbers; that of voxels may be made for larger boxes.
    fn fits(&self, numbers: usize) -> bool {
        let needed = 2 * self.taps() * self.offsets()[3];
        if self.places == Places::Voxels { numbers >= needed } else { numbers == needed }
    }

    /// The neighbours of a scan voxel along axis `a` of the model's grid, and their weights.
    fn place(&self, index: usize, voxel: [usize; 3], table: &HostTensor, a: usize) -> Vec<(i64, f64)> {
        let own = if self.places == Places::Voxels { index } else { voxel[self.axes[a]] };
        let entry = 2 * self.taps() * (self.offsets()[a] + own);
        if let Places::Taps(taps) = self.places {
            return table.data[entry..][..2 * taps].chunks(2).map(|tap| (tap[0] as i64, tap[1])).collect();
        }
        let (low, weight) = (table.data[entry] as i64, table.data[entry + 1]);
        let weights = if weight < 0.0 { [-weight, 1.0 + weight] } else { [1.0 - weight, weight] };
        (0..).zip(weights).map(|(offset, weight)| (low + offset, weight)).collect()
    }

    /// Ring positions and weights of the neighbours that count for a scan voxel.
    fn corners(&self, index: usize, voxel: [usize; 3], table: &HostTensor, ring: &[usize]) -> Vec<(usize, f64)> {
        let [xs, ys, zs] = [0, 1, 2].map(|a| self.place(index, voxel, table, a));
        let mut corners = Vec::new();
        for x in &xs {
            for y in &ys {
                for z in &zs {
                    let mut s = [0; 3];
                    let inside = [x, y, z].iter().enumerate().all(|(a, (at, _))| {
                        s[a] = (*at + self.shift[a] as i64).max(0) as usize % ring[a + 1];
                        (0..self.size[a] as i64).contains(at)
                    });
                    let weight = x.1 * y.1 * z.1;
                    if inside && weight > 0.0 {
                        corners.push(((s[0] * ring[2] + s[1]) * ring[3] + s[2], weight));
                    }
                }
            }
        }
        corners
    }
}

impl Kernel for PackLabels {
    kernel_name!("pack_labels");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [best] if best.elements() >= 2 * self.voxels => Ok(vec![Shape::from([best.elements().div_ceil(4)])]),
            _ => Err(GraphError::new(format!("{inputs:?} for {} voxels", self.voxels))),
        }
    }

    fn dispatches(&self, _io: &Io, _target: &Target) -> Vec<Dispatch> {
        vec![Dispatch {
            shader: "pack_labels",
            entry: "forward",
            constants: Vec::new(),
            params: PackParams { voxels: self.voxels as u32 }.block(),
            bindings: vec![bind_read(0), bind_write(0)],
            groups: groups(self.voxels.div_ceil(2).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let best = inputs[0];
        let label = |i: usize| best.data[2 * i.min(self.voxels - 1) + 1] as u32;
        let mut y = HostTensor::zeros([best.data.len().div_ceil(4)]);
        for (i, word) in y.data.iter_mut().enumerate().take(self.voxels.div_ceil(2)) {
            *word = f64::from(f32::from_bits(label(2 * i) | (label(2 * i + 1) << 16)));
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

/// Axes in another order with a crop, padding and ring, along each axis; the grid itself; both rules; a second part; lists of
/// neighbours; a place for each voxel.
pub fn cases() -> Vec<Case> {
    let turned = Decide {
        first: true,
        regions: false,
        logits: false,
        least: 0.5,
        axes: [1, 0, 2],
        scan: [9, 10, 8],
        size: [5, 5, 6],
        shift: [2, 0, 1],
        begin: [1, 0, 2],
        extent: [6, 8, 5],
        places: Places::Neighbours,
    };
    let size = [7, 6, 8];
    let own = Decide { axes: [0, 1, 2], scan: size, size, shift: [0; 3], begin: [0; 3], extent: size, ..turned };
    let p = |seed| HostTensor::noise([4, 7, 6, 8], seed).map(|v| v.abs());
    let signed = |seed| HostTensor::noise([4, 7, 6, 8], seed).map(|v| v - 0.2);
    let channel = HostTensor::new([4, 2], vec![0.0, 1.0, 7.0, 3.0, 2.0, 2.0, 300.0, 4.0]);
    let best = HostTensor::noise([400, 2], 9).map(|v| (v.abs() * 3.0).floor());
    // Places on a quarter grid, some before the crop, some beyond it, some nowhere.
    let quarters: Vec<f64> = (0..27)
        .flat_map(|i| match i * 7 % 13 {
            12 => [-2.0, 0.0],
            // Three quarters above are one quarter below.
            place => [(place as f64 / 2.0).floor() - 1.0, [0.0, 0.25, 0.5, -0.25][i as usize % 4]],
        })
        .collect();
    let whole: Vec<f64> = size.iter().flat_map(|n| (0..*n).flat_map(|i| [i as f64, 0.0])).collect();
    let case = |name: &str, op: Decide, p: HostTensor| {
        let table = if op.scan == size { &whole } else { &quarters };
        let table = HostTensor::new([table.len() / 2, 2], table.clone());
        Case::new(name, op, vec![p, channel.clone(), table, best.clone()]).updating()
    };
    // Three neighbours, two, one and none.
    let listed: Vec<f64> = (0..27)
        .flat_map(|i| {
            let first = (i * 5 % 4) as f64;
            let weights = [[0.5, 0.3, 0.2], [0.75, 0.25, 0.0], [1.0, 0.0, 0.0], [0.0; 3]][i % 4];
            (0..3).flat_map(move |t| [first + t as f64 % 2.0, weights[t]])
        })
        .collect();
    let of_voxels: Vec<f64> = (0..3 * 240).flat_map(|i| [(i * 11 % 7) as f64 - 1.0, [0.0, 0.4, -0.1][i % 3]]).collect();
    let with = |name: &str, places: Places, numbers: &[f64]| {
        let table = HostTensor::new([numbers.len() / 2, 2], numbers.to_vec());
        let op = Decide { places, ..turned };
        Case::new(name, op, vec![p(8), channel.clone(), table, best.clone()]).updating()
    };
    let along = |name: &str, ring: [usize; 4]| case(name, turned, HostTensor::noise(ring, 5).map(|v| v.abs()));
    vec![
        case("turned", turned, p(5)),
        along("a ring along Y", [4, 7, 4, 8]),
        along("a ring along Z", [4, 7, 6, 5]),
        with("lists", Places::Taps(3), &listed),
        with("voxels", Places::Voxels, &of_voxels),
        case("its own grid", own, p(2)),
        case("logits", Decide { logits: true, ..turned }, signed(6)),
        case("regions of logits", Decide { logits: true, regions: true, least: 0.3, ..turned }, signed(7)),
        case("second part", Decide { first: false, ..turned }, p(3)),
        case("regions", Decide { regions: true, ..turned }, p(4)),
        Case::new("pack", PackLabels { voxels: 399 }, vec![best]),
    ]
}
