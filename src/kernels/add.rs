//! The sum of gradients that meet in one tensor. The op itself belongs to differentiation, in the graph.

pub use crate::graph::add::{Add, cases};
