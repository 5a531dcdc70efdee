//! Training: data, steps, runs and their records.
#![cfg(feature = "train")]

#[path = "../support/mod.rs"]
mod support;

mod augment_geometry;
mod augment_intensity;
mod crops;
mod datasets;
mod fine_tuning;
mod formats;
mod leaks;
mod mirrored_labels;
mod networks;
mod recipes;
mod train_data;
mod train_data_bad_input;
mod train_log;
mod train_run;
mod training;
