//! Writing label maps as MetaImage. The same input gives the same bytes.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::FORMAT;
use crate::volume::label_file::{axes_to_lps, voxel_bytes};
use crate::volume::{LabelMap, VolumeError};

/// Writes a label map: MET_UCHAR, or MET_USHORT where a label exceeds 255. The format has no place for names.
///
/// # Errors
/// The output cannot be written, or the affine maps no volume.
pub fn write_labels(mut out: impl Write, labels: &LabelMap) -> Result<(), VolumeError> {
    labels.affine.check("the labels to write")?;
    let failed = |source| VolumeError::Io { path: FORMAT.to_owned(), source };
    let (voxels, wide) = voxel_bytes(labels);
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    let packed = packed.write_all(&voxels).and_then(|()| packed.finish()).map_err(failed)?;
    let (axes, origin) = axes_to_lps(&labels.affine);
    let spacing = labels.affine.spacing();
    let words = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(" ");
    let directions: Vec<f64> = (0..3).flat_map(|a| axes[a].map(|v| v / spacing[a])).collect();
    // MetaIO names where an axis comes from, an affine where it leads to.
    let from = |code: char| match code {
        'R' => 'L',
        'L' => 'R',
        'A' => 'P',
        'P' => 'A',
        'S' => 'I',
        _ => 'S',
    };
    let orientation: String = labels.affine.axis_codes().chars().map(from).collect();
    let [nx, ny, nz] = labels.dims;
    let header = format!(
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = True\n\
         CompressedDataSize = {}\nTransformMatrix = {}\nOffset = {}\nCenterOfRotation = 0 0 0\nAnatomicalOrientation = \
         {orientation}\nElementSpacing = {}\nDimSize = {nx} {ny} {nz}\nElementType = {}\nElementDataFile = LOCAL\n",
        packed.len(),
        words(&directions),
        words(&origin),
        words(&spacing),
        if wide { "MET_USHORT" } else { "MET_UCHAR" },
    );
    out.write_all(header.as_bytes()).and_then(|()| out.write_all(&packed)).and_then(|()| out.flush()).map_err(failed)
}
