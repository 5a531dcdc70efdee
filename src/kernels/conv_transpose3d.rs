//! Transposed convolution, 2x2x2, stride 2, no bias; its outputs do not overlap:
//! `y[n, k, 2i+a, 2j+b, 2l+c] = Σ_channel x[n, channel, i, j, l] w[channel, k, a, b, c]`.
//!
//! Shapes: `x (N, C, X, Y, Z)`, `w (C, K, 2, 2, 2)`, `y (N, K, 2X, 2Y, 2Z)`. Source: `torch.nn.ConvTranspose3d`.

use super::{bind_read, bind_write, kernel_name};
use crate::gpu::AdapterClass;
use crate::graph::{Case, Cost, DType, Dispatch, Graph, GraphError, Io, Kernel, Layout, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { samples: u32, channels: u32, k: u32, x: u32, y: u32, z: u32 });

#[derive(Clone, Copy, Debug, PartialEq)]
enum Variant {
    /// Without workgroup memory, four values per load where rows are whole blocks of four voxels.
    Wide,
    /// Without workgroup memory.
    Registers,
    /// With workgroup memory, as [`by_shape`] finds best.
    ByShape,
    /// With workgroup memory: voxels and output channels of an invocation.
    Tiled { voxels: usize, outputs: usize },
}

/// The first suits software adapters, whose barriers are slow.
const VARIANTS: &[Variant] = &[
    Variant::Wide,
    Variant::ByShape,
    Variant::Tiled { voxels: 4, outputs: 2 },
    Variant::Tiled { voxels: 4, outputs: 1 },
    Variant::Tiled { voxels: 2, outputs: 1 },
    Variant::Registers,
];

/// Blocks of four voxels, and output channels, of an invocation with long loads.
const WIDE: (usize, usize) = (2, 2);

/// Groups that keep a large GPU busy.
const ENOUGH_GROUPS: usize = 512;

fn tiled_groups(n: usize, voxels: usize, k: usize, (own_voxels, outputs): (usize, usize)) -> usize {
    n * voxels.div_ceil(16 * own_voxels) * k.div_ceil(4 * outputs)
}

/// Few registers on integrated GPUs; elsewhere as large a tile as leaves enough groups.
fn by_shape(class: AdapterClass, n: usize, voxels: usize, k: usize) -> (usize, usize) {
    let enough = if class == AdapterClass::Discrete { ENOUGH_GROUPS } else { ENOUGH_GROUPS / 8 };
    let fits = |tile: &(usize, usize)| tiled_groups(n, voxels, k, *tile) >= enough;
    let tiles = if class == AdapterClass::Discrete && k > 4 { &[(4, 2), (4, 1)][..] } else { &[(4, 1)] };
    tiles.iter().copied().find(fits).unwrap_or((2, 1))
}

/// The op; arguments `x, w`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvTranspose3d;

fn output(x: &Shape, w: &Shape) -> Option<Shape> {
    let (n, c, [sx, sy, sz]) = x.volume()?;
    match w.dims() {
        &[wc, k, 2, 2, 2] if wc == c => Some(Shape::from([n, k, 2 * sx, 2 * sy, 2 * sz])),
        _ => None,
    }
}

impl Kernel for ConvTranspose3d {
    kernel_name!("conv_transpose3d");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [x, w] => output(x, w).map(|y| vec![y]),
            _ => None,
        }
        .ok_or_else(|| GraphError::new(format!("input and weight do not fit: {inputs:?}")))
    }

    fn dispatches(&self, io: &Io, target: &Target) -> Vec<Dispatch> {
        let (n, c, [x, y, z]) = io.input(0).volume().expect("checked by infer");
        let k = io.input(1).dims()[1];
        let voxels = x * y * z;
        let tile = match *target.choose(VARIANTS) {
            Variant::Wide | Variant::Registers => None,
            Variant::ByShape => Some(by_shape(target.class, n, voxels, k)),
            Variant::Tiled { voxels, outputs } => Some((voxels, outputs)),
        };
        let mut constants = vec![("HALF", io.half(1)), ("SCALAR", 0)];
        constants.extend(tile.into_iter().flat_map(|(v, o)| [("VOXELS", v as u32), ("OUTPUTS", o as u32)]));
        let wide = *target.choose(VARIANTS) == Variant::Wide && z.is_multiple_of(4);
        let (shader, count) = match tile {
            Some(tile) => ("conv_transpose3d_tiled", tiled_groups(n, voxels, k, tile)),
            None if wide => {
                constants.extend([("FOURS", WIDE.0 as u32), ("OUTPUTS", WIDE.1 as u32)]);
                ("conv_transpose3d_wide", (n * (voxels / 4).div_ceil(WIDE.0) * k.div_ceil(WIDE.1)).div_ceil(64))
            }
            None => ("conv_transpose3d", (n * voxels.div_ceil(4) * k.div_ceil(2)).div_ceil(64)),
        };
        vec![Dispatch {
            shader,
            entry: "forward",
            constants,
            params: Params {
                samples: n as u32,
                channels: c as u32,
                k: k as u32,
                x: x as u32,
                y: y as u32,
                z: z as u32,
            }
            .block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups(count),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (x, w) = (inputs[0], inputs[1]);
        let (n, c, [sx, sy, sz]) = x.shape.volume().expect("a volume");
        let k = w.shape.dims()[1];
        let mut y = HostTensor::zeros([n, k, 2 * sx, 2 * sy, 2 * sz]);
        let voxels = sx * sy * sz;
        for sample in 0..n {
            for channel in 0..c {
                for (v, &value) in x.data[(sample * c + channel) * voxels..][..voxels].iter().enumerate() {
                    let (i, j, l) = (v / sz / sy, v / sz % sy, v % sz);
                    for o in 0..k * 8 {
                        let (a, b, d) = (o / 4 % 2, o / 2 % 2, o % 2);
                        let plane = ((sample * k + o / 8) * 2 * sx + 2 * i + a) * 2 * sy + 2 * j + b;
                        y.data[plane * 2 * sz + 2 * l + d] += value * w.data[channel * k * 8 + o];
                    }
                }
            }
        }
        vec![y]
    }

    fn cost(&self, io: &Io) -> Cost {
        let products = io.output(0).elements() as f64 * io.input(1).dims()[0] as f64;
        Cost { flops: 2.0 * products, bytes: io.bytes() }
    }
}

impl Graph {
    /// Doubles every axis.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn conv_transpose3d(&mut self, name: &str, x: TensorId, w: TensorId) -> Result<TensorId, GraphError> {
        self.add_one_op(name, ConvTranspose3d, &[x, w])
    }
}

/// Channel counts that are not multiples of the block, odd extents, a batch, both storages. (65,536 groups would write more
/// than one binding holds.)
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let sizes: [(usize, usize, usize, [usize; 3]); 7] = [
        (1, 1, 1, [1, 1, 1]),
        (2, 3, 5, [3, 2, 5]),
        (1, 7, 2, [6, 6, 6]),
        (1, 2, 3, [13, 11, 7]),
        (2, 37, 11, [3, 5, 9]),
        (2, 5, 3, [3, 1, 4]),
        (1, 6, 4, [2, 5, 12]),
    ];
    for (i, (n, c, k, s)) in sizes.into_iter().enumerate() {
        let x = HostTensor::noise([n, c, s[0], s[1], s[2]], 7 * i as u64);
        let w = HostTensor::noise([c, k, 2, 2, 2], 7 * i as u64 + 1);
        let name = format!("{n}x{c}to{k}x{s:?}");
        cases.push(Case::new(name.clone(), ConvTranspose3d, vec![x.clone(), w.clone()]));
        let half = w.map(|v| f64::from(half::f16::from_f64(v)));
        let case = Case::new(format!("{name} f16"), ConvTranspose3d, vec![x, half]);
        cases.push(case.stored(1, Layout::Natural, DType::F16));
    }
    cases
}
