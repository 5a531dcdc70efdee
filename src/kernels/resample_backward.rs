//! Gradient of trilinear resampling: `dx[i] = Σ_o share(o, i) dy[o]`, one axis after the other, Z first.
//!
//! Shapes: `dy (N, C, X fx, Y fy, Z fz)`, `dx (N, C, X, Y, Z)`.

use super::resample::{Resample, between};
use super::{bind_read, bind_write, kernel_name, residual_backward};
use crate::gpu::Access;
use crate::graph::{Applied, Case, Cost, Dispatch, Graph, GraphError, Io, Kernel, Op, Operand, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { outer: u32, size: u32, inner: u32 });

/// The op; argument `dy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResampleBackward {
    /// Output voxels per voxel along each axis.
    pub factor: [usize; 3],
}

impl ResampleBackward {
    fn size(&self, dy: &Shape) -> Option<(usize, usize, [usize; 3])> {
        let (n, c, out) = dy.volume()?;
        let whole = (0..3).all(|a| self.factor[a] > 0 && out[a].is_multiple_of(self.factor[a]));
        whole.then(|| (n, c, std::array::from_fn(|a| out[a] / self.factor[a])))
    }

    /// (axis, extents before it) of each pass: axes that change, the last first.
    fn passes(&self, dy: &Shape) -> Vec<(usize, [usize; 3])> {
        let (_, _, mut size) = dy.volume().expect("checked by infer");
        let mut passes = Vec::new();
        for axis in (0..3).rev().filter(|&a| self.factor[a] > 1) {
            passes.push((axis, size));
            size[axis] /= self.factor[axis];
        }
        passes
    }
}

impl Kernel for ResampleBackward {
    kernel_name!("resample_backward");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        match inputs {
            [dy] if self.factor != [1; 3] => self.size(dy),
            _ => None,
        }
        .map(|(n, c, [x, y, z])| vec![Shape::from([n, c, x, y, z])])
        .ok_or_else(|| GraphError::new(format!("a gradient {inputs:?} of resampling by {:?}", self.factor)))
    }

    fn scratch(&self, io: &Io, _target: &Target) -> Vec<u64> {
        let (n, c, _) = io.input(0).volume().expect("checked by infer");
        let passes = self.passes(io.input(0));
        let bytes = |&(_, size): &(usize, [usize; 3])| (n * c * size.iter().product::<usize>()) as u64 * 4;
        passes.iter().skip(1).map(bytes).collect()
    }

    fn dispatches(&self, io: &Io, _target: &Target) -> Vec<Dispatch> {
        let (n, c, _) = io.input(0).volume().expect("checked by infer");
        let passes = self.passes(io.input(0));
        let last = passes.len() - 1;
        let pass = |(i, &(axis, out)): (usize, &(usize, [usize; 3]))| {
            let size = out[axis] / self.factor[axis];
            let outer: usize = n * c * out[..axis].iter().product::<usize>();
            let inner: usize = out[axis + 1..].iter().product();
            let from = if i == 0 { bind_read(0) } else { (Operand::Scratch(i - 1), Access::Read) };
            let to = if i == last { bind_write(0) } else { (Operand::Scratch(i), Access::Write) };
            Dispatch {
                shader: "resample_backward",
                entry: "forward",
                constants: vec![("FACTOR", self.factor[axis] as u32)],
                params: Params { outer: outer as u32, size: size as u32, inner: inner as u32 }.block(),
                bindings: vec![from, to],
                groups: groups((outer * size * inner).div_ceil(64)),
            }
        };
        passes.iter().enumerate().map(pass).collect()
    }

    fn reference(&self, inputs: &[&HostTensor]) -> Vec<HostTensor> {
        let dy = inputs[0];
        let (n, c, size) = self.size(&dy.shape).expect("checked by infer");
        let (_, _, out) = dy.shape.volume().expect("a volume");
        let mut dx = HostTensor::zeros([n, c, size[0], size[1], size[2]]);
        let (voxels, each): (usize, usize) = (size.iter().product(), out.iter().product());
        for (i, d) in dy.data.iter().enumerate() {
            let (row, p) = (i / each, i % each);
            let at = [p / out[2] / out[1], p / out[2] % out[1], p % out[2]];
            let b: [_; 3] = std::array::from_fn(|a| between(at[a], self.factor[a], size[a]));
            for corner in 0..8 {
                let (mut to, mut share) = (0, 1.0);
                for a in 0..3 {
                    let high = corner >> a & 1 == 1;
                    to = to * size[a] + if high { b[a].1 } else { b[a].0 };
                    share *= if high { b[a].2 } else { 1.0 - b[a].2 };
                }
                dx.data[row * voxels + to] += share * d;
            }
        }
        vec![dx]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 4.0 * io.input(0).elements() as f64, bytes: io.bytes() }
    }
}

impl Op for Resample {
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError> {
        let Some(dy) = dy[0] else {
            return Ok(vec![None; node.inputs.len()]);
        };
        let da = g.add_one("data", ResampleBackward { factor: self.factor }, &[dy])?;
        residual_backward::value(g, self.form, da, &node.inputs)
    }
}

/// Factors of 1, even and odd; one voxel; more than 65,535 groups.
pub fn cases() -> Vec<Case> {
    let case = |n, c, size: [usize; 3], factor: [usize; 3]| {
        let dy = HostTensor::noise([n, c, size[0] * factor[0], size[1] * factor[1], size[2] * factor[2]], 5);
        Case::new(format!("{n}x{c}x{size:?} by {factor:?}"), ResampleBackward { factor }, vec![dy])
    };
    vec![
        case(1, 1, [1, 1, 1], [2, 2, 2]),
        case(2, 3, [3, 5, 4], [2, 2, 2]),
        case(1, 2, [2, 3, 5], [3, 1, 4]),
        case(1, 2, [3, 2, 2], [16, 16, 16]),
        case(1, 5, [2, 4, 3], [1, 5, 2]),
        case(1, 1, [129, 180, 181], [1, 1, 2]),
    ]
}
