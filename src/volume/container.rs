//! The bytes of a file, unpacked if they are gzip, never more than the header declares.

use std::borrow::Cow;
use std::io::{ErrorKind, Read};

use flate2::bufread::GzDecoder;
use flate2::read::ZlibDecoder;

use crate::volume::VolumeError;

/// Deflate cannot pack more than this many bytes into one.
pub(super) const MAX_RATIO: u64 = 1032;
/// Bytes after the voxels that are tolerated (padding), unpacked and checked but not kept.
const MAX_TRAILING: u64 = 1 << 20;
const CHUNK: usize = 1 << 18;

pub(super) fn is_gzip(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The first `n` bytes of the content, fewer if it is shorter. Checksums are not reached.
pub(super) fn prefix(bytes: &[u8], n: usize) -> Result<Cow<'_, [u8]>, VolumeError> {
    if !is_gzip(bytes) {
        return Ok(Cow::Borrowed(&bytes[..n.min(bytes.len())]));
    }
    let mut out = vec![0; n];
    let mut members = Members::new(bytes);
    let mut filled = 0;
    while filled < n {
        match members.read(&mut out[filled..])? {
            0 => break,
            got => filled += got,
        }
    }
    out.truncate(filled);
    Ok(Cow::Owned(out))
}

/// Refuses a declared size that the file cannot hold, without unpacking or allocating anything.
pub(super) fn check_declared(bytes: &[u8], what: &'static str, declared: u64) -> Result<(), VolumeError> {
    let present = bytes.len() as u64;
    if !is_gzip(bytes) && declared > present {
        return Err(VolumeError::Truncated { what, needed: declared, found: present });
    }
    if is_gzip(bytes) { check_packed(bytes, what, declared) } else { Ok(()) }
}

fn check_packed(bytes: &[u8], what: &'static str, declared: u64) -> Result<(), VolumeError> {
    let present = bytes.len() as u64;
    if declared / MAX_RATIO > present {
        return Err(VolumeError::Compression {
            problem: format!("{what} should hold {declared} bytes, more than {present} compressed bytes can hold"),
        });
    }
    Ok(())
}

/// The first `declared` bytes of the content, all of which must be present, and the number of bytes
/// after them. A gzip stream is read to its end so that its checksum and length are verified.
/// Voxels are unpacked only where the header says so or, in NIfTI, where the file itself is packed.
pub(super) fn content<'a>(
    bytes: &'a [u8],
    what: &'static str,
    declared: u64,
) -> Result<(Cow<'a, [u8]>, u64), VolumeError> {
    if !is_gzip(bytes) {
        return plain(bytes, what, declared);
    }
    check_declared(bytes, what, declared)?;
    let mut members = Members::new(bytes);
    gather(|chunk| members.read(chunk), what, declared)
}

/// As [`content`], of bytes that are not packed, whatever they look like.
pub(super) fn plain<'a>(
    bytes: &'a [u8],
    what: &'static str,
    declared: u64,
) -> Result<(Cow<'a, [u8]>, u64), VolumeError> {
    let cut = usize::try_from(declared).ok().and_then(|at| bytes.split_at_checked(at));
    let truncated = || VolumeError::Truncated { what, needed: declared, found: bytes.len() as u64 };
    let (content, rest) = cut.ok_or_else(truncated)?;
    Ok((Cow::Borrowed(content), rest.len() as u64))
}

/// As [`content`], of a zlib stream.
pub(super) fn zlib(bytes: &[u8], what: &'static str, declared: u64) -> Result<(Cow<'static, [u8]>, u64), VolumeError> {
    check_packed(bytes, what, declared)?;
    let mut decoder = ZlibDecoder::new(bytes);
    let damaged = |e: std::io::Error| VolumeError::Compression { problem: format!("the zlib stream is damaged ({e})") };
    gather(|chunk| decoder.read(chunk).map_err(damaged), what, declared)
}

/// Collects what `read` unpacks, and counts what is beyond the declared size.
fn gather(
    mut read: impl FnMut(&mut [u8]) -> Result<usize, VolumeError>,
    what: &'static str,
    declared: u64,
) -> Result<(Cow<'static, [u8]>, u64), VolumeError> {
    let mut out: Vec<u8> = Vec::new();
    let mut chunk = vec![0; CHUNK];
    let mut trailing = 0_u64;
    loop {
        let got = read(&mut chunk)?;
        if got == 0 {
            break;
        }
        let missing = declared - out.len() as u64;
        let wanted = missing.min(got as u64) as usize;
        // Grows with the data that is really there, doubling up to what is declared.
        if out.capacity() - out.len() < wanted {
            let step = (out.len() as u64).max(CHUNK as u64).min(missing) as usize;
            out.try_reserve_exact(step)
                .map_err(|_| VolumeError::TooLarge { needed: declared, limit: out.len() as u64 })?;
        }
        out.extend_from_slice(&chunk[..wanted]);
        trailing += (got - wanted) as u64;
        if trailing > MAX_TRAILING {
            return Err(VolumeError::Compression {
                problem: format!("{what} unpacks to more than the {declared} bytes its header declares"),
            });
        }
    }
    let found = out.len() as u64;
    if found < declared {
        return Err(VolumeError::Truncated { what, needed: declared, found });
    }
    Ok((Cow::Owned(out), trailing))
}

/// All of a small file, at most `limit` bytes.
pub(super) fn small<'a>(bytes: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, VolumeError> {
    let all = prefix(bytes, limit)?;
    if is_gzip(bytes) {
        let declared = all.len() as u64;
        return Ok(content(bytes, "the header file", declared)?.0);
    }
    Ok(all)
}

/// The members of a gzip file, one after another, each verified at its end.
struct Members<'a> {
    decoder: Option<GzDecoder<&'a [u8]>>,
}

impl<'a> Members<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { decoder: Some(GzDecoder::new(bytes)) }
    }

    /// Fills a part of `buffer` (not empty); 0 at the end of the last member.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, VolumeError> {
        while let Some(decoder) = &mut self.decoder {
            let got = decoder.read(buffer).map_err(|error| VolumeError::Compression {
                problem: match error.kind() {
                    ErrorKind::UnexpectedEof => "the stream is cut short".to_owned(),
                    _ => format!("the stream is damaged ({error})"),
                },
            })?;
            if got > 0 {
                return Ok(got);
            }
            let rest = self.decoder.take().map_or(&[][..], GzDecoder::into_inner);
            if is_gzip(rest) {
                self.decoder = Some(GzDecoder::new(rest));
            } else if rest.iter().any(|&b| b != 0) {
                // Zeros are the padding of tapes and block stores; gzip ignores them too.
                return Err(VolumeError::Compression {
                    problem: format!("{} bytes that are no gzip follow the stream", rest.len()),
                });
            }
        }
        Ok(0)
    }
}
