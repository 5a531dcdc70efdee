//! Siemens' mosaics: the slices of a volume as tiles of one image, row by row.
//!
//! With `n` images a side has `ceil(sqrt(n))` tiles. Image Position (Patient) is that of a slice as large as the mosaic around
//! the same centre, so that tile `k` lies at
//! `position + (mosaic - tile) / 2 in pixels along rows and columns + k * Spacing Between Slices * normal`,
//! the normal turned as the private header's `SliceNormalVector` says.
//!
//! # Source
//! As dcm2niix 1.0.20260724 and nibabel 5.4 read them.

use super::csa;
use super::error::DicomError;
use super::frames::Frame;
use super::tags;
use super::values::DataSet;

/// More are no mosaic.
const MOST: usize = 1024;

/// Tiles of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mosaic {
    pub tiles: usize,
    /// Tiles from left to right, and from top to bottom.
    pub side: usize,
}

impl Mosaic {
    /// # Errors
    /// An image that says that it is a mosaic, but not of how many images, or that is divided otherwise.
    pub fn read(data: &DataSet<'_>, [columns, rows]: [usize; 2]) -> Result<Option<Self>, DicomError> {
        let kind = data.text(&tags::IMAGE_TYPE).unwrap_or_default().to_ascii_uppercase();
        let named = kind.split('\\').any(|part| part.trim() == "MOSAIC");
        if data.has(&tags::UIH_GRID) {
            let what = "grid of slices in one image (United Imaging); convert the series with `dcm2niix`";
            return Err(DicomError::Unread { what });
        }
        let in_header = header(data, "NumberOfImagesInMosaic").and_then(|v| v.first()?.parse::<usize>().ok());
        let private = || data.count(&tags::SIEMENS_MOSAIC_IMAGES).ok().flatten().map(|n| n as usize);
        let tiles = in_header.or_else(|| if named { private() } else { None }).unwrap_or(0);
        if tiles < 2 {
            if named {
                let what = "Siemens mosaic, slices as tiles of one image, and does not say of how many; convert the series \
                            with `dcm2niix`, or have its private elements kept";
                return Err(DicomError::Unread { what });
            }
            return Ok(None);
        }
        let side = (1..).find(|side| side * side >= tiles).unwrap_or(1);
        if columns % side != 0 || rows % side != 0 || tiles > MOST {
            let what = "Siemens mosaic whose size is no multiple of its tiles'; convert the series with `dcm2niix`";
            return Err(DicomError::Unread { what });
        }
        Ok(Some(Self { tiles, side }))
    }

    /// The frames that the tiles are.
    ///
    /// # Errors
    /// The distance between slices is not known.
    pub fn frames(&self, data: &DataSet<'_>, whole: &Frame, size: [usize; 2]) -> Result<Vec<Frame>, DicomError> {
        let step = whole.thickness.ok_or_else(|| {
            let problem = "it is missing, and a Siemens mosaic's slices lie that far apart";
            DicomError::attribute(&tags::SPACING_BETWEEN_SLICES, problem)
        })?;
        let plane = whole.plane;
        let aside = |axis: usize| (size[axis] - size[axis] / self.side) as f64 / 2.0 * plane.spacing[axis];
        let [x, y] = [aside(0), aside(1)];
        let first: [f64; 3] = std::array::from_fn(|r| plane.along[0][r] * x + plane.along[1][r] * y);
        let normal = plane.normal();
        let stated = header(data, "SliceNormalVector").unwrap_or_default();
        let against: f64 = stated.iter().zip(normal).filter_map(|(v, n)| Some(v.parse::<f64>().ok()? * n)).sum();
        let step = if against < 0.0 { -step } else { step };
        let tile = |k: usize| {
            let by = std::array::from_fn(|r| first[r] + normal[r] * step * k as f64);
            Frame { plane: plane.moved(by), ..whole.clone() }
        };
        Ok((0..self.tiles).map(tile).collect())
    }

    /// Shows each tile of an image of `columns` and its values.
    pub fn cut(&self, columns: usize, values: &[f32], mut visit: impl FnMut(usize, &[f32])) {
        let (width, height) = (columns / self.side, values.len() / columns / self.side);
        let mut tile = Vec::with_capacity(width * height);
        for k in 0..self.tiles {
            let (across, down) = (k % self.side * width, k / self.side * height);
            tile.clear();
            for row in values.chunks_exact(columns).skip(down).take(height) {
                tile.extend_from_slice(row.get(across..across + width).unwrap_or_default());
            }
            visit(k, &tile);
        }
    }
}

/// A value of Siemens' own header.
fn header(data: &DataSet<'_>, name: &str) -> Option<Vec<String>> {
    let places = [tags::SIEMENS_CSA, tags::SIEMENS_CSA_MOVED];
    places.iter().filter_map(|a| data.element(a)).find_map(|e| csa::values(e.body, name))
}
