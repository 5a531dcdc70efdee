//! Scans in and out, geometry, intensities and metrics.

#[path = "../support/mod.rs"]
mod support;

#[cfg(feature = "dicom")]
mod dicom;
#[cfg(feature = "dicom")]
mod dicom_acquisitions;
#[cfg(feature = "dicom")]
mod dicom_edges;
#[cfg(feature = "dicom")]
mod dicom_folders;
#[cfg(feature = "dicom")]
mod dicom_mosaics;
#[cfg(feature = "dicom-seg")]
mod dicom_seg;
mod image_formats;
mod intensity;
#[cfg(feature = "cli")]
mod meshes;
mod metrics;
mod nnunet_steps;
mod orientations;
mod study;
mod transforms;
mod units;
mod volume_writing;
mod volumes;
mod zips;
