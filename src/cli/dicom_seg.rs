//! `unetr segment -o OUT.dcm`: how the segmentation is written, and of which series it is.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::console::note;
use super::error::CliError;
use super::files::file_name;
use crate::volume::dicom::seg::SegKind;
use crate::volume::label_file::LabelFormat;
use crate::volume::nifti::LabelName;
use crate::volume::{SourceSeries, Study, StudyOptions};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum SegArg {
    /// A frame of bits for each label and slice: what most programs read.
    #[default]
    Binary,
    /// A frame of label values for each slice: smaller and newer.
    Labelmap,
}

/// How a `.dcm` is written.
#[derive(Clone, Debug, Args)]
pub(super) struct SegArgs {
    /// Kind of DICOM Segmentation, where OUT is a .dcm.
    #[arg(long, value_name = "KIND", default_value = "binary")]
    seg: SegArg,
    /// DICOM series that a .dcm is of, where the scan was converted from it: a folder or a file. It must lie on the scan's grid;
    /// the order of its axes may differ.
    #[arg(long, value_name = "SERIES")]
    reference: Option<PathBuf>,
    /// Write a .dcm with a frame for every slice, not only for those that have labels.
    #[arg(long)]
    all_frames: bool,
}

/// The series that a segmentation is of, and how it is written.
pub(super) struct Target {
    pub source: Box<SourceSeries>,
    pub kind: SegKind,
    pub all_frames: bool,
}

impl SegArgs {
    /// What the reference adds to the inputs.
    pub fn input(&self) -> Option<&Path> {
        self.reference.as_deref()
    }

    /// # Errors
    /// Options for `.dcm` where the output is none.
    pub fn check(&self, output: &Path) -> Result<(), CliError> {
        if is_dicom(output) {
            return Ok(());
        }
        let given = [
            ("--seg", self.seg != SegArg::Binary),
            ("--reference", self.reference.is_some()),
            ("--all-frames", self.all_frames),
        ];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(CliError::usage(format!("{option} is for an output that ends in .dcm"))),
            None => Ok(()),
        }
    }

    /// The series that the labels of `study` are written for; none if the output is no DICOM.
    ///
    /// # Errors
    /// No series, or one on another grid.
    pub fn target(&self, output: &Path, study: &Study, options: &StudyOptions) -> Result<Option<Target>, CliError> {
        if !is_dicom(output) {
            return Ok(None);
        }
        let (source, name) = match &self.reference {
            None => {
                let found = study.files.iter().find_map(|file| Some((file.dicom.clone()?, file.file.clone())));
                found.ok_or_else(|| {
                    CliError::usage(format!(
                        "--output {}: a DICOM segmentation is of a DICOM series, and {} is none: give the series it was \
                         converted from with --reference, or another ending",
                        output.display(),
                        study.name
                    ))
                })?
            }
            Some(path) => {
                let options = StudyOptions { acquisition: Vec::new(), series: Vec::new(), ..options.clone() };
                let read = super::scans::read(std::slice::from_ref(path), &options)?;
                let mut files = read.files.into_iter();
                let (Some(source), None) = (files.next().and_then(|file| file.dicom), files.next()) else {
                    return Err(CliError::usage(format!("--reference {} is no DICOM series", path.display())));
                };
                (source, path.display().to_string())
            }
        };
        let (_, told) = source.grid.join(&study.grid(), [&name, &study.name])?;
        told.iter().for_each(|text| note(format!("warning: {text}")));
        for (known, what) in [
            (&source.study_instance_uid, "Study Instance UID"),
            (&source.frame_of_reference_uid, "Frame of Reference UID"),
        ] {
            if known.is_empty() {
                note(format!(
                    "warning: {name} has no {what}: the segmentation gets one of its own, which links to nothing"
                ));
            }
        }
        let kind = match self.seg {
            SegArg::Binary => SegKind::Binary,
            SegArg::Labelmap => SegKind::LabelMap,
        };
        Ok(Some(Target { source, kind, all_frames: self.all_frames }))
    }
}

impl Target {
    /// Says so where segments have other numbers than the labels: in a binary segmentation they count from 1.
    pub fn tell(&self, names: &[LabelName]) {
        let mut values: Vec<u16> = names.iter().map(|name| name.value).collect();
        values.sort_unstable();
        let other = values.iter().zip(1_u16..).filter(|(value, number)| *value != number);
        let list: Vec<String> = other.take(8).map(|(value, number)| format!("{value} is {number}")).collect();
        if self.kind == SegKind::Binary && !list.is_empty() {
            note(format!("note: segments count from 1: of the labels {}", list.join(", ")));
        }
    }
}

fn is_dicom(output: &Path) -> bool {
    LabelFormat::of_name(&file_name(output)).is_some_and(|(format, _)| format == LabelFormat::DicomSeg)
}
