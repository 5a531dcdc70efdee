//! Gradient of resampling to any size: `dx[i] = Σ_o share(o, i) dy[o]`, one axis after the other, Z first.
//!
//! Shapes: `dy (N, C, ..)` of the size that was made, `dx (N, C, X, Y, Z)`.

use super::resize::{Resize, Sampling, fits};
use super::{bind_read, bind_write, constant, kernel_name, residual_backward};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { outer: u32, size: u32, out: u32, inner: u32 });

/// The op; argument `dy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeBackward {
    /// Voxels of the gradient.
    pub size: [usize; 3],
    /// What a voxel took of its neighbours.
    pub sampling: Sampling,
}

impl ResizeBackward {
    /// (axis, extents before it) of each pass: axes that change, the last first.
    fn passes(&self, dy: &Shape) -> Vec<(usize, [usize; 3])> {
        let (_, _, mut size) = dy.volume().expect("checked by infer");
        let mut passes = Vec::new();
        for axis in (0..3).rev() {
            if size[axis] != self.size[axis] {
                passes.push((axis, size));
                size[axis] = self.size[axis];
            }
        }
        passes
    }
}

impl Kernel for ResizeBackward {
    kernel_name!("resize_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        let [x, y, z] = self.size;
        let volume = if let [dy] = inputs { dy.volume() } else { None };
        volume
            .filter(|(.., out)| *out != self.size && fits(*out) && fits(self.size))
            .map(|(n, c, _)| vec![Shape::from([n, c, x, y, z])])
            .ok_or_else(|| GraphError::new(format!("a gradient {inputs:?} of {:?} voxels", self.size)))
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (n, c, _) = io.input(0).volume().expect("checked by infer");
        let bytes = |&(_, size): &(usize, [usize; 3])| (n * c * size.iter().product::<usize>()) as u64 * 4;
        self.passes(io.input(0)).iter().skip(1).map(bytes).collect()
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, _) = io.input(0).volume().expect("checked by infer");
        let passes = self.passes(io.input(0));
        let last = passes.len() - 1;
        let pass = |(i, &(axis, out)): (usize, &(usize, [usize; 3]))| {
            let size = self.size[axis];
            let outer: usize = n * c * out[..axis].iter().product::<usize>();
            let inner: usize = out[axis + 1..].iter().product();
            let from = if i == 0 { bind_read(0) } else { (Operand::Scratch(i - 1), Access::Read) };
            let to = if i == last { bind_write(0) } else { (Operand::Scratch(i), Access::Write) };
            Dispatch {
                shader: "resize_backward",
                entry: "forward",
                constants: vec![("NEAREST", constant(self.sampling == Sampling::Nearest))],
                params: Params { outer: outer as u32, size: size as u32, out: out[axis] as u32, inner: inner as u32 }
                    .block(),
                bindings: vec![from, to],
                groups: groups((outer * size * inner).div_ceil(64)),
            }
        };
        passes.iter().enumerate().map(pass).collect()
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let (n, c, out) = inputs[0].shape.volume().expect("a volume");
        let [x, y, z] = self.size;
        let mut dx = HostTensor::zeros([n, c, x, y, z]);
        self.sampling.shares(n * c, self.size, out, |from, to, share| dx.data[to] += share * inputs[0].data[from]);
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Resize {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let volume = g.shape(node.inputs[0]).volume();
        let (Some(dy), Some((_, _, size))) = (dy[0], volume) else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let da = g.add_one("data", ResizeBackward { size, sampling: self.sampling }, &[dy])?;
        residual_backward::value(g, self.form, da, &node.inputs)
    }
}

/// Larger and smaller, whole factors and others; one voxel; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |sampling, n, c, size: [usize; 3], out: [usize; 3]| {
        let dy = HostTensor::noise([n, c, out[0], out[1], out[2]], 5);
        Case::new(format!("{sampling:?} {n}x{c}x{size:?} to {out:?}"), ResizeBackward { size, sampling }, vec![dy])
    };
    let mut cases = Vec::new();
    for sampling in [Sampling::Nearest, Sampling::Trilinear] {
        cases.extend([
            case(sampling, 1, 1, [1, 1, 1], [3, 1, 2]),
            case(sampling, 2, 3, [3, 5, 4], [7, 5, 6]),
            case(sampling, 1, 2, [9, 7, 5], [2, 3, 4]),
            case(sampling, 1, 2, [4, 6, 3], [8, 3, 12]),
        ]);
    }
    cases.push(case(Sampling::Trilinear, 1, 1, [129, 180, 181], [129, 180, 99]));
    cases
}
