//! Shapes and host-side tensors: what every other module speaks in.

mod float;
mod host;
mod shape;

pub use float::FloatType;
pub use host::{Difference, HostTensor};
pub use shape::Shape;
