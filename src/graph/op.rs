use std::ops::Deref;
use std::sync::Arc;

use super::Kernel;
#[cfg(feature = "train")]
use super::{Graph, GraphError, TensorId};

/// Work through which a gradient can pass.
///
/// There is no default: whatever has no `backward` of its own is a plain [`Kernel`], and a gradient that would have to
/// pass through it is an error.
#[cfg(feature = "train")]
pub trait Op: Kernel {
    /// Adds the nodes that compute the gradients of the inputs from `dy`, the gradients of the outputs (`None` where
    /// nothing depends on one). Returns one entry per input; `None` means zero. An input whose entry in
    /// [`Applied::needs`] is false may be skipped.
    ///
    /// # Errors
    /// [`GraphError`] if this gradient cannot be made.
    fn backward(
        &self,
        g: &mut Graph,
        node: &Applied,
        dy: &[Option<TensorId>],
    ) -> Result<Vec<Option<TensorId>>, GraphError>;
}

/// A program without training differentiates nothing: every kernel will do.
#[cfg(not(feature = "train"))]
pub trait Op: Kernel {}

#[cfg(not(feature = "train"))]
impl<T: Kernel> Op for T {}

/// Where an op was applied.
#[cfg(feature = "train")]
#[derive(Clone, Debug)]
pub struct Applied {
    pub inputs: Vec<TensorId>,
    pub outputs: Vec<TensorId>,
    /// For each argument, whether its gradient is wanted.
    pub needs: Vec<bool>,
}

/// What a node computes, and whether gradients can pass through it.
#[derive(Clone, Debug)]
pub enum NodeKernel {
    /// They cannot.
    Kernel(Arc<dyn Kernel>),
    /// They can.
    Op(Arc<dyn Op>),
}

impl NodeKernel {
    pub(super) fn kernel(kernel: impl Kernel) -> Self {
        Self::Kernel(Arc::new(kernel))
    }

    pub(super) fn op(op: impl Op) -> Self {
        Self::Op(Arc::new(op))
    }
}

impl Deref for NodeKernel {
    type Target = dyn Kernel;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kernel(kernel) => &**kernel,
            Self::Op(op) => &**op,
        }
    }
}
