//! A tensor of one value: the gradient that a loss starts from.

use super::{bind_write, kernel_name};
use crate::graph::{Case, Cost, Dispatch, Gradients, Graph, GraphError, Io, Kernel, Target, TensorId};
use crate::graph::{groups, params};
use crate::tensor::{HostTensor, Shape};

params!(Params { count: u32, value: f32 });

/// The op, without arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// Shape of the result.
    pub shape: Shape,
    pub value: f32,
}

impl Kernel for Fill {
    kernel_name!("fill");

    fn infer(&self, inputs: &[Shape]) -> Result<Vec<Shape>, GraphError> {
        if inputs.is_empty() { Ok(vec![self.shape.clone()]) } else { Err(GraphError::new("no argument is taken")) }
    }

    fn dispatches(&self, _io: &Io, _target: &Target) -> Vec<Dispatch> {
        let count = self.shape.elements();
        vec![Dispatch {
            shader: "fill",
            entry: "forward",
            constants: Vec::new(),
            params: Params { count: count as u32, value: self.value }.block(),
            bindings: vec![bind_write(0)],
            groups: groups(count.div_ceil(64)),
        }]
    }

    fn reference(&self, _inputs: &[&HostTensor]) -> Vec<HostTensor> {
        vec![HostTensor::zeros(self.shape.clone()).map(|_| f64::from(self.value))]
    }

    fn cost(&self, io: &Io) -> Cost {
        Cost { flops: 0.0, bytes: io.bytes() }
    }
}

impl Graph {
    /// The gradients of a loss: of the sum of its elements, times `scale`, with respect to every parameter and the inputs `also`.
    ///
    /// # Errors
    /// As [`Graph::backward`].
    pub fn backward_from(&mut self, loss: TensorId, scale: f32, also: &[TensorId]) -> Result<Gradients, GraphError> {
        let seed = self.seed(loss, scale)?;
        self.backward(&[(loss, seed)], also)
    }

    /// A gradient to begin with: `scale` for every element of a loss.
    ///
    /// # Errors
    /// [`GraphError`] never for a loss that exists.
    pub fn seed(&mut self, loss: TensorId, scale: f32) -> Result<TensorId, GraphError> {
        let seed = Fill { shape: self.shape(loss).clone(), value: scale };
        self.add_one("loss.seed", seed, &[])
    }
}

/// A scalar, and a length off the group.
pub fn cases() -> Vec<Case> {
    let case = |shape: Shape, value| Case::new(format!("{shape} of {value}"), Fill { shape, value }, Vec::new());
    vec![case(Shape::from([1]), 1.0), case(Shape::from([3, 50]), -2.5)]
}
