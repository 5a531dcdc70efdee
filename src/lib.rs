//! UNETR, a vision transformer for 3-D medical image segmentation, as WGSL compute shaders on any GPU.
//!
//! The network is MONAI's UNETR (Hatamizadeh et al. 2021, arXiv 2103.10504) and gives MONAI's numbers. The same code runs
//! natively on Vulkan, Metal and DX12 and, compiled to WebAssembly, in a browser with WebGPU.
//!
//! ```no_run
//! use std::ops::ControlFlow;
//! use unetr_wgpu::{gpu, infer, volume, weights::Package};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gpu = gpu::Gpu::open(&gpu::GpuOptions::default()).await?;
//! let package = Package::read(std::fs::read("model.safetensors")?)?;
//! let scan = volume::Study::open(&["scan.nii.gz".into()], &volume::StudyOptions::default())?;
//! let mut segmenter = infer::Segmenter::new(&gpu, &package, infer::SegmentOptions::default()).await?;
//! let prepared = segmenter.prepare(&scan.volume)?;
//! let result = segmenter.run(&prepared, &mut |_| ControlFlow::Continue(())).await?;
//! println!("{:?}", result.labels.counts());
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`volume`], [`metrics`] | NIfTI, geometry, preprocessing and its inverse; Dice and surface distances |
//! | [`weights`], [`nets`] | model packages, PyTorch import and export; the network |
//! | [`infer`] | windows, stitching, the way back to the scan |
//! | [`kernels`], [`graph`], [`gpu`] | ops with their WGSL and f64 twins; plans; the device |
//! | [`report`] | statistics, preview, provenance |
//! | [`filetype`] | what a file is by its first bytes |
//! | [`digest`] | SHA-256 as text |
//! | [`fields`] | JSON and TOML read strictly |
//! | `dataset` | `dataset.json`, natively |
//! | `web` | the same for JavaScript, on wasm32 only |
//!
//! Research use only. Not a medical device.

// On wasm32 wgpu's objects belong to one thread and so do the `Arc`s around them; natively they are shared.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

#[cfg(feature = "cli")]
pub mod cli;
#[cfg(not(target_arch = "wasm32"))]
pub mod dataset;
pub mod digest;
pub mod fields;
pub mod filetype;
pub mod gpu;
pub mod graph;
pub mod infer;
pub mod kernels;
pub mod metrics;
pub mod nets;
pub mod report;
pub mod tensor;
#[cfg(feature = "train")]
pub mod train;
pub mod volume;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod weights;
