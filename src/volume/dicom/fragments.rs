//! Packed pixels: fragments and the frames they make up (PS3.5, A.4).

use std::borrow::Cow;

use super::elements::Element;
use super::error::DicomError;

/// The fragments of an image.
pub(super) struct Fragments<'a> {
    fragments: Vec<&'a [u8]>,
    /// First fragment of each frame, and one past the last.
    starts: Vec<usize>,
}

impl<'a> Fragments<'a> {
    /// # Errors
    /// Fragments that cannot be told to be of one frame or another.
    pub fn read(pixels: &Element<'a>, frames: usize) -> Result<Self, DicomError> {
        let mut fragments = pixels.items()?;
        if fragments.is_empty() {
            return Err(DicomError::pixels("there is not even a table of offsets before them"));
        }
        let table = fragments.remove(0);
        let count = fragments.len();
        let starts = if frames == 1 {
            vec![0, count]
        } else if count == frames {
            (0..=count).collect()
        } else {
            by_table(&fragments, table, frames).ok_or_else(|| {
                let problem =
                    format!("{count} fragments of {frames} frames and no table of offsets that tells them apart");
                DicomError::pixels(problem + "; unpack the file first, for example with `gdcmconv --raw IN OUT`")
            })?
        };
        Ok(Self { fragments, starts })
    }

    /// The bytes of a frame.
    pub fn frame(&self, at: usize) -> Result<Cow<'a, [u8]>, DicomError> {
        let range = self.starts.get(at).copied().unwrap_or(0)..self.starts.get(at + 1).copied().unwrap_or(0);
        match self.fragments.get(range) {
            Some([one]) => Ok(Cow::Borrowed(one)),
            Some(several) if !several.is_empty() => Ok(Cow::Owned(several.concat())),
            _ => Err(DicomError::pixels(format!("frame {} has no fragment", at + 1))),
        }
    }
}

/// Offsets count from the first fragment's item, 8 bytes before its content.
fn by_table(fragments: &[&[u8]], table: &[u8], frames: usize) -> Option<Vec<usize>> {
    let (offsets, rest) = table.as_chunks::<4>();
    if offsets.len() != frames || !rest.is_empty() {
        return None;
    }
    let mut place = 0_u64;
    let places: Vec<u64> = fragments
        .iter()
        .map(|f| {
            let at = place;
            place += f.len() as u64 + 8;
            at
        })
        .collect();
    let starts = offsets.iter().map(|o| places.binary_search(&u32::from_le_bytes(*o).into()).ok());
    let mut starts: Vec<usize> = starts.collect::<Option<_>>()?;
    starts.push(fragments.len());
    starts.is_sorted_by(|a, b| a < b).then_some(starts)
}
