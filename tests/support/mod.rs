//! What the tests share.
#![allow(dead_code, reason = "each group of tests uses a part")]

pub mod bad_checkpoints;
pub mod bad_lines;
pub mod bad_models;
pub mod bad_nifti;
pub mod body;
pub mod bundle_files;
#[cfg(feature = "train")]
pub mod cases;
pub mod data;
pub mod defects;
pub mod dicom_file;
pub mod each;
pub mod event_file;
pub mod golden;
pub mod nifti_file;
pub mod nnunet_folder;
pub mod page;
pub mod phantom;
pub mod procedural;
pub mod raw_models;
pub mod run;
pub mod tiny;
pub mod torch_files;
