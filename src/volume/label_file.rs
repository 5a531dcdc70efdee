//! Label maps as files, in the format that the file's name says.

use std::io::Write;

#[cfg(feature = "dicom-seg")]
use super::dicom::seg::{self, SegOptions};
use super::nifti::{self, Header, LabelName};
use super::stored::lps_to_ras;
use super::{Affine, LabelMap, VolumeError, metaimage, nrrd};

/// A format that labels are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelFormat {
    /// `.nii`, or packed, `.nii.gz`.
    Nifti {
        /// With gzip.
        gzip: bool,
    },
    /// `.seg.nrrd`: NRRD with names, colours and extents, as 3D Slicer opens it as a segmentation.
    SegNrrd,
    /// `.nrrd`: voxels and their place alone.
    Nrrd,
    /// `.mha`.
    MetaImage,
    /// `.dcm`: DICOM Segmentation, an object of a series.
    #[cfg(feature = "dicom-seg")]
    DicomSeg,
}

/// What to write beside the voxels, as far as the format has a place for it.
#[derive(Debug, Clone, Copy, Default)]
pub struct LabelOptions<'a> {
    /// Of NIfTI: the scan's header, whose version, units, description and form codes are taken over.
    pub like: Option<&'a Header>,
    /// Names and colours of the labels.
    pub label_names: &'a [LabelName],
    /// Text, such as the record in JSON.
    pub comment: Option<&'a str>,
    /// Of DICOM: the series, and what made the labels; needed there.
    #[cfg(feature = "dicom-seg")]
    pub dicom: Option<SegOptions<'a>>,
}

impl LabelFormat {
    /// Endings of the formats, longer before shorter.
    pub const ENDINGS: &[(&str, Self)] = &[
        (".nii.gz", Self::Nifti { gzip: true }),
        (".nii", Self::Nifti { gzip: false }),
        (".seg.nrrd", Self::SegNrrd),
        (".nrrd", Self::Nrrd),
        (".mha", Self::MetaImage),
        #[cfg(feature = "dicom-seg")]
        (".dcm", Self::DicomSeg),
    ];

    /// The format of a file's name, and how long its ending is.
    #[must_use]
    pub fn of_name(name: &str) -> Option<(Self, usize)> {
        let name = name.to_ascii_lowercase();
        let known = Self::ENDINGS.iter().find(|(ending, _)| name.ends_with(ending) && name.len() > ending.len());
        known.map(|(ending, format)| (*format, ending.len()))
    }

    /// Writes a label map.
    ///
    /// # Errors
    /// The output cannot be written, or the affine maps no volume.
    pub fn write(self, out: impl Write, labels: &LabelMap, options: &LabelOptions<'_>) -> Result<(), VolumeError> {
        match self {
            Self::Nifti { gzip } => {
                let LabelOptions { like, label_names, comment, .. } = *options;
                nifti::write_labels(out, labels, &nifti::WriteOptions { gzip, like, label_names, comment })
            }
            Self::SegNrrd => nrrd::write_labels(out, labels, options, true),
            Self::Nrrd => nrrd::write_labels(out, labels, options, false),
            Self::MetaImage => metaimage::write_labels(out, labels),
            #[cfg(feature = "dicom-seg")]
            Self::DicomSeg => match &options.dicom {
                Some(dicom) => seg::write_labels(out, labels, options.label_names, dicom).map(drop),
                None => Err(VolumeError::Setting {
                    setting: "the series of a DICOM segmentation",
                    value: "none".into(),
                    problem: "the DICOM series is needed that the labels are of",
                }),
            },
        }
    }
}

/// The voxels, first axis fastest and least byte first, and whether each has two bytes.
pub(super) fn voxel_bytes(labels: &LabelMap) -> (Vec<u8>, bool) {
    let [nx, ny, nz] = labels.dims;
    let wide = labels.data.iter().any(|v| *v > 255);
    let mut bytes = Vec::with_capacity(labels.data.len() * if wide { 2 } else { 1 });
    for z in 0..nz {
        for y in 0..ny {
            let row = (0..nx).map(|x| labels.data[(x * ny + y) * nz + z]);
            match wide {
                true => bytes.extend(row.flat_map(u16::to_le_bytes)),
                // At most 255.
                false => bytes.extend(row.map(|v| v as u8)),
            }
        }
    }
    (bytes, wide)
}

/// Steps of the voxel axes and the place of voxel 0 in mm to the left, back and head.
pub(super) fn axes_to_lps(affine: &Affine) -> ([[f64; 3]; 3], [f64; 3]) {
    let m = affine.linear();
    // The map is its own inverse; a zero has no sign.
    let lps = |v: [f64; 3]| lps_to_ras(v).map(|c| c + 0.0);
    (std::array::from_fn(|a| lps([m[0][a], m[1][a], m[2][a]])), lps(affine.origin()))
}
