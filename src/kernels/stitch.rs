//! Logits of a window into the weighted sums of a volume, for networks whose last layer is no 1x1x1 convolution (see
//! [`super::head`] for those).
//!
//! `acc[k] += weight logits[first_class + k]`. Shapes: `logits (1, K, X, Y, Z)`, `axes (X + Y + Z)` window weights along each
//! axis, weight = max(product, floor); `acc (classes, RX, RY, RZ)` a ring of planes along one axis over the whole volume.
//! Source: MONAI `sliding_window_inference`.

use super::head::Placement;
use super::{bind_read, bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, NodeId, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params {
    x: u32,
    y: u32,
    z: u32,
    floor: f32,
    start_x: u32,
    start_y: u32,
    start_z: u32,
    ring: u32,
    volume_y: u32,
    volume_z: u32,
    classes: u32,
    first_class: u32,
    mirrored: u32,
});

/// The op; arguments `logits, axes, acc`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stitch {
    pub at: Placement,
}

impl Kernel for Stitch {
    kernel_name!("stitch");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let [logits, axes, acc] = inputs else {
            return Err(GraphError::new(format!("three arguments are needed: {inputs:?}")));
        };
        let fits = logits.volume().is_some_and(|(n, k, size)| {
            n == 1
                && axes.elements() == size.iter().sum::<usize>()
                && matches!(acc.dims(), [classes, ..] if acc.dims().len() == 4 && self.at.first_class + classes <= k)
        });
        if fits { Ok(vec![acc.clone()]) } else { Err(GraphError::new(format!("sums do not fit: {inputs:?}"))) }
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (_, _, [x, y, z]) = io.input(0).volume().expect("checked by infer");
        let acc = io.output(0).dims();
        let Placement { start, floor, first_class, .. } = self.at;
        vec![Dispatch {
            shader: "stitch",
            entry: "forward",
            constants: Vec::new(),
            params: Params {
                x: x as u32,
                y: y as u32,
                z: z as u32,
                floor,
                start_x: start[0] as u32,
                start_y: start[1] as u32,
                start_z: start[2] as u32,
                ring: acc[1] as u32,
                volume_y: acc[2] as u32,
                volume_z: acc[3] as u32,
                classes: acc[0] as u32,
                first_class: first_class as u32,
                mirrored: self.at.mirror_bits(),
            }
            .block(),
            bindings: vec![bind_read(0), bind_read(1), bind_write(0)],
            groups: groups((acc[0] * x * y * z).div_ceil(64)),
        }]
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (_, _, [x, y, z]) = inputs[0].shape.volume().expect("checked by infer");
        let (logits, axes) = (inputs[0], inputs[1]);
        let mut acc = inputs[2].clone();
        let d = acc.shape.dims().to_vec();
        let [sx, sy, sz] = self.at.start;
        for i in 0..d[0] * x * y * z {
            let k = i / (x * y * z);
            let [vx, vy, vz] = self.at.place([i / (y * z) % x, i / z % y, i % z], [x, y, z]);
            let weight = axes.data[vx] * axes.data[x + vy] * axes.data[x + y + vz];
            let at = ((k * d[1] + (sx + vx) % d[1]) * d[2] + (sy + vy) % d[2]) * d[3] + (sz + vz) % d[3];
            acc.data[at] += weight.max(f64::from(self.at.floor)) * logits.data[self.at.first_class * x * y * z + i];
        }
        vec![acc]
    }

    fn cost(&self, io: &Io) -> Cost {
        let (_, k, size) = io.input(0).volume().expect("checked by infer");
        let values = (k * size.iter().product::<usize>()) as f64;
        Cost { flops: 2.0 * values, bytes: 12.0 * values }
    }
}

impl Graph {
    /// Adds a window's logits to `acc`; the node is moved from window to window by `Plan::set_kernel`.
    ///
    /// # Errors
    /// [`GraphError`] if the shapes do not fit.
    pub fn stitch(
        &mut self,
        name: &str,
        logits: TensorId,
        axes: TensorId,
        acc: TensorId,
        at: Placement,
    ) -> Result<NodeId, GraphError> {
        self.update(name, Stitch { at }, &[logits, axes, acc])
    }
}

/// Windows that wrap around the ring, classes in parts, a floor that holds and one that does not.
pub fn cases() -> Vec<Case> {
    let case = |name: &str, k: usize, size: [usize; 3], acc: [usize; 4], at: Placement| {
        let [x, y, z] = size;
        let logits = HostTensor::noise([1, k, x, y, z], 1);
        let axes = HostTensor::noise([x + y + z], 2).map(f64::abs);
        Case::new(name, Stitch { at }, vec![logits, axes, HostTensor::noise(acc, 3)]).updating()
    };
    let at = |start, floor, first_class| Placement { start, floor, first_class, mirrored: [false; 3] };
    vec![
        case("one voxel", 1, [1, 1, 1], [1, 1, 1, 1], Placement::default()),
        case("wrapped", 3, [4, 3, 5], [3, 5, 6, 7], at([3, 2, 1], 0.1, 0)),
        case(
            "mirrored",
            3,
            [4, 3, 5],
            [3, 5, 6, 7],
            Placement { mirrored: [true, true, false], ..at([3, 2, 1], 0.1, 0) },
        ),
        case("wrapped along Y", 3, [4, 3, 5], [3, 6, 4, 7], at([1, 3, 1], 0.1, 0)),
        case("a part", 7, [2, 5, 3], [2, 3, 5, 3], at([0, 0, 0], 0.9, 4)),
        case("many groups", 2, [130, 128, 128], [2, 131, 128, 128], Placement::default()),
    ]
}
