//! The ops: one file each, with its shape rule, GPU work, double-precision twin, cost, builder and test cases. Its WGSL
//! is the file of the same name in `shaders/`. A new op is added to the list below and is then validated, tested,
//! self-tested on users' adapters and benchmarked like all others.

macro_rules! kernels {
    ($($(#[$when:meta])* $module:ident),* $(,)?) => {
        $($(#[$when])* pub mod $module;)*

        /// Every op with its test cases.
        pub fn all_cases() -> Vec<(&'static str, Vec<Case>)> {
            [$($(#[$when])* (stringify!($module), $module::cases())),*].into()
        }
    };
}

use crate::gpu::Access;
use crate::graph::{Binding, Case, Operand};

kernels![
    attention,
    blend,
    ceiling,
    conv3d,
    conv_transpose3d,
    decide,
    dropout,
    head,
    layer_norm,
    linear,
    norm_parameters,
    patchify,
    residual,
    transpose,
    #[cfg(feature = "train")]
    accumulate,
    #[cfg(feature = "train")]
    add,
    #[cfg(feature = "train")]
    attention_backward,
    #[cfg(feature = "train")]
    channel_sums,
    #[cfg(feature = "train")]
    conv3d_backward,
    #[cfg(feature = "train")]
    conv_transpose3d_backward,
    #[cfg(feature = "train")]
    adamw,
    #[cfg(feature = "train")]
    clip,
    #[cfg(feature = "train")]
    square_sum,
    #[cfg(feature = "train")]
    dice_ce,
    #[cfg(feature = "train")]
    dice_ce_backward,
    #[cfg(feature = "train")]
    fill,
    #[cfg(feature = "train")]
    head_backward,
    #[cfg(feature = "train")]
    layer_norm_backward,
    #[cfg(feature = "train")]
    linear_backward,
    #[cfg(feature = "train")]
    moments_backward,
    #[cfg(feature = "train")]
    norm_parameters_backward,
    #[cfg(feature = "train")]
    patchify_backward,
    #[cfg(feature = "train")]
    residual_backward,
    #[cfg(feature = "train")]
    sum_parts,
    #[cfg(feature = "train")]
    transpose_backward,
];

mod moments;
pub mod selftest;

/// `Kernel::name` as the op's file name.
macro_rules! kernel_name {
    ($name:literal) => {
        fn name(&self) -> &'static str {
            $name
        }
    };
}
use kernel_name;

/// Argument `i`, read.
fn bind_read(i: usize) -> Binding {
    (Operand::Input(i), Access::Read)
}

/// Result `i`, written.
fn bind_write(i: usize) -> Binding {
    (Operand::Output(i), Access::Write)
}

/// A switch as a shader constant.
fn constant(on: bool) -> u32 {
    u32::from(on)
}

/// MONAI's slope of the leaky ReLU.
pub(crate) const SLOPE: f64 = 0.01;

/// Leaky ReLU in double precision.
pub(crate) fn leaky_relu(x: f64) -> f64 {
    if x > 0.0 { x } else { SLOPE * x }
}
