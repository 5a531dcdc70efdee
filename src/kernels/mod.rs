//! The ops: one file each, with its shape rule, GPU work, double-precision twin, cost, builder and test cases. Its WGSL
//! is the file of the same name in `shaders/`. A new op is added to `all_cases` and is then validated, tested,
//! self-tested on users' adapters and benchmarked like all others.

#[cfg(feature = "train")]
pub mod accumulate;
#[cfg(feature = "train")]
pub mod adamw;
#[cfg(feature = "train")]
pub mod add;
pub mod add_repeated;
pub mod attention;
#[cfg(feature = "train")]
pub mod attention_backward;
pub mod blend;
pub mod ceiling;
#[cfg(feature = "train")]
pub mod channel_sums;
#[cfg(feature = "train")]
pub mod clip;
pub mod concat;
#[cfg(feature = "train")]
pub mod concat_backward;
pub mod conv3d;
#[cfg(feature = "train")]
pub mod conv3d_backward;
pub mod conv_transpose3d;
#[cfg(feature = "train")]
pub mod conv_transpose3d_backward;
#[cfg(feature = "train")]
mod correlate_weights;
pub mod decide;
#[cfg(feature = "train")]
pub mod dice_ce;
#[cfg(feature = "train")]
pub mod dice_ce_backward;
pub mod dropout;
#[cfg(feature = "train")]
pub mod fill;
pub mod gate;
#[cfg(feature = "train")]
pub mod gate_backward;
pub mod half_sums;
pub mod head;
#[cfg(feature = "train")]
pub mod head_backward;
pub mod layer_norm;
#[cfg(feature = "train")]
pub mod layer_norm_backward;
pub mod lazy;
pub mod linear;
#[cfg(feature = "train")]
pub mod linear_backward;
pub mod moments;
#[cfg(feature = "train")]
pub mod moments_backward;
pub mod norm_parameters;
#[cfg(feature = "train")]
pub mod norm_parameters_backward;
mod pack_weights;
pub mod patch_merging;
#[cfg(feature = "train")]
pub mod patch_merging_backward;
pub mod patchify;
#[cfg(feature = "train")]
pub mod patchify_backward;
pub mod pool;
#[cfg(feature = "train")]
pub mod pool_backward;
pub mod resample;
#[cfg(feature = "train")]
pub mod resample_backward;
pub mod residual;
#[cfg(feature = "train")]
pub mod residual_backward;
pub mod resize;
#[cfg(feature = "train")]
pub mod resize_backward;
#[cfg(feature = "train")]
pub mod running_averages;
pub mod running_norm;
pub mod selftest;
pub mod split_weights;
#[cfg(feature = "train")]
pub mod split_weights_backward;
#[cfg(feature = "train")]
pub mod square_sum;
pub mod stitch;
#[cfg(feature = "train")]
pub mod sum_parts;
pub mod transpose;
#[cfg(feature = "train")]
pub mod transpose_backward;
pub mod window_attention;
#[cfg(feature = "train")]
pub mod window_attention_backward;

use crate::gpu::Access;
use crate::graph::{Binding, Case, Operand};

/// Every op with its test cases.
pub fn all_cases() -> Vec<(&'static str, Vec<Case>)> {
    let forward = [
        ("add_repeated", add_repeated::cases()),
        ("attention", attention::cases()),
        ("blend", blend::cases()),
        ("ceiling", ceiling::cases()),
        ("concat", concat::cases()),
        ("conv3d", conv3d::cases()),
        ("conv_transpose3d", conv_transpose3d::cases()),
        ("decide", decide::cases()),
        ("dropout", dropout::cases()),
        ("gate", gate::cases()),
        ("half_sums", half_sums::cases()),
        ("head", head::cases()),
        ("layer_norm", layer_norm::cases()),
        ("linear", linear::cases()),
        ("moments", moments::cases()),
        ("norm_parameters", norm_parameters::cases()),
        ("patch_merging", patch_merging::cases()),
        ("patchify", patchify::cases()),
        ("pool", pool::cases()),
        ("resample", resample::cases()),
        ("residual", residual::cases()),
        ("resize", resize::cases()),
        ("running_norm", running_norm::cases()),
        ("split_weights", split_weights::cases()),
        ("stitch", stitch::cases()),
        ("transpose", transpose::cases()),
        ("window_attention", window_attention::cases()),
    ];
    #[cfg(feature = "train")]
    let forward = forward.into_iter().chain([
        ("accumulate", accumulate::cases()),
        ("add", add::cases()),
        ("attention_backward", attention_backward::cases()),
        ("channel_sums", channel_sums::cases()),
        ("concat_backward", concat_backward::cases()),
        ("conv3d_backward", conv3d_backward::cases()),
        ("conv_transpose3d_backward", conv_transpose3d_backward::cases()),
        ("adamw", adamw::cases()),
        ("clip", clip::cases()),
        ("square_sum", square_sum::cases()),
        ("dice_ce", dice_ce::cases()),
        ("dice_ce_backward", dice_ce_backward::cases()),
        ("fill", fill::cases()),
        ("gate_backward", gate_backward::cases()),
        ("head_backward", head_backward::cases()),
        ("layer_norm_backward", layer_norm_backward::cases()),
        ("linear_backward", linear_backward::cases()),
        ("moments_backward", moments_backward::cases()),
        ("norm_parameters_backward", norm_parameters_backward::cases()),
        ("patch_merging_backward", patch_merging_backward::cases()),
        ("patchify_backward", patchify_backward::cases()),
        ("pool_backward", pool_backward::cases()),
        ("resample_backward", resample_backward::cases()),
        ("residual_backward", residual_backward::cases()),
        ("resize_backward", resize_backward::cases()),
        ("running_averages", running_averages::cases()),
        ("split_weights_backward", split_weights_backward::cases()),
        ("sum_parts", sum_parts::cases()),
        ("transpose_backward", transpose_backward::cases()),
        ("window_attention_backward", window_attention_backward::cases()),
    ]);
    forward.into_iter().collect()
}

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
