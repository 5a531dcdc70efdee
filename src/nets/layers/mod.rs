//! Layers that several networks share. Each says its parameters' names, shapes, layouts, first values and decay.

pub mod act;
pub mod conv;
pub mod convolution;
pub mod dropout;
pub mod linear;
pub mod norm;
pub mod parts;
pub mod pre_activation;
pub mod unet_block;
pub mod vit;
pub(super) mod vit_keys;
