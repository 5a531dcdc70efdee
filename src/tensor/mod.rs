//! Shapes and host-side tensors: what every other module speaks in.

mod host;
mod shape;

pub use host::{Difference, HostTensor};
pub use shape::Shape;
