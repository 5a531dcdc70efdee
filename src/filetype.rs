//! What a file is by its first bytes, so that one of a wrong kind is called what it is.
//!
//! # Source
//! The formats' own documents; the numbers agree with `file` 5.44.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// A kind of file that others make, and what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileType {
    /// What it is called, with its article.
    pub name: &'static str,
    /// What it holds.
    pub content: Content,
}

/// What a kind of file holds, as far as this program minds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A scan or label map.
    Scan,
    /// Weights of a network.
    Weights,
    /// Several files in one.
    Archive,
    /// One file, packed.
    Packed,
    /// Arrays of numbers without a place in the patient.
    Arrays,
    /// A picture of two dimensions.
    Picture,
    /// A page or message in place of the file, as a download that failed leaves it.
    Page,
    /// The name of a file that was not fetched.
    Pointer,
    /// Settings or lists.
    Text,
    /// Anything else.
    Other,
}

const fn kind(name: &'static str, content: Content) -> FileType {
    FileType { name, content }
}

/// NIfTI in either version and byte order.
pub const NIFTI: FileType = kind("a NIfTI file", Content::Scan);
/// The listing of a disc or folder of DICOM files.
pub const DICOMDIR: FileType = kind("a DICOMDIR, the list of a disc's DICOM files", Content::Pointer);
/// A model package or state dict.
pub const SAFETENSORS: FileType = kind("a safetensors file", Content::Weights);
/// A PyTorch checkpoint, zip or legacy.
pub const PYTORCH: FileType = kind("a PyTorch checkpoint", Content::Weights);
/// A zip of anything.
pub const ZIP: FileType = kind("a zip archive", Content::Archive);
/// A compiled PyTorch program.
pub const TORCHSCRIPT: FileType = kind("a TorchScript program, which is code with its weights", Content::Weights);
/// What Git leaves of a large file that was not fetched.
pub const LFS_POINTER: FileType =
    kind("a Git LFS pointer, a line of text in place of the file; `git lfs pull` fetches it", Content::Pointer);

/// Bytes that begin a kind of file, at an offset.
const BEGINNINGS: &[(usize, &[u8], FileType)] = &[
    (0, b"version https://git-lfs.github.com/spec/v1", LFS_POINTER),
    (0, b"/annex/objects/", kind("a git-annex pointer, a line of text in place of the file", Content::Pointer)),
    (0, b"PK\x05\x06", kind("an empty zip archive", Content::Archive)),
    (0, b"NRRD0", kind("an NRRD file", Content::Scan)),
    (0, b"ObjectType", kind("a MetaImage file (.mha, .mhd)", Content::Scan)),
    (0, b"NDims", kind("a MetaImage file (.mha, .mhd)", Content::Scan)),
    (0, b"\0\0\0\x01\0\0", kind("an MGH file of FreeSurfer", Content::Scan)),
    (0, b"# vtk DataFile", kind("a VTK file", Content::Scan)),
    (128, b"DICM", kind("a DICOM file", Content::Scan)),
    (0, b"BZh", kind("a bzip2-packed file", Content::Packed)),
    (0, b"\xfd7zXZ\0", kind("an xz-packed file", Content::Packed)),
    (0, b"\x28\xb5\x2f\xfd", kind("a zstd-packed file", Content::Packed)),
    (0, b"\x04\x22\x4d\x18", kind("an lz4-packed file", Content::Packed)),
    (0, b"7z\xbc\xaf\x27\x1c", kind("a 7-Zip archive", Content::Archive)),
    (0, b"Rar!", kind("a RAR archive", Content::Archive)),
    (257, b"ustar", kind("a tar archive", Content::Archive)),
    (0, b"\x93NUMPY", kind("a NumPy array (.npy)", Content::Arrays)),
    (0, b"\x89HDF\r\n\x1a\n", kind("an HDF5 file (.h5, MINC 2, Keras, MATLAB 7.3)", Content::Arrays)),
    (0, b"CDF\x01", kind("a NetCDF or MINC 1 file", Content::Arrays)),
    (0, b"MATLAB 5.0", kind("a MATLAB file", Content::Arrays)),
    (0, b"\x89PNG", kind("a PNG picture", Content::Picture)),
    (0, b"\xff\xd8\xff", kind("a JPEG picture", Content::Picture)),
    (0, b"II*\0", kind("a TIFF picture", Content::Picture)),
    (0, b"MM\0*", kind("a TIFF picture", Content::Picture)),
    (0, b"GIF8", kind("a GIF picture", Content::Picture)),
    (0, b"BM", kind("a BMP picture", Content::Picture)),
    (0, b"%PDF", kind("a PDF document", Content::Other)),
    (0, b"solid ", kind("an STL surface", Content::Other)),
    (0, b"ply\n", kind("a PLY surface", Content::Other)),
    (0, b"\x7fELF", kind("a program", Content::Other)),
    (0, b"MZ", kind("a Windows program", Content::Other)),
];

/// Bytes of a file that [`FileType::of`] looks at; more do no harm.
pub const HEAD: usize = 4096;

impl FileType {
    /// Recognises a file by its first [`HEAD`] bytes; a file packed with gzip by what is packed, too.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        if !head.starts_with(&[0x1f, 0x8b]) {
            return Self::plain(head);
        }
        let mut inner = Vec::new();
        // The head of a longer file ends in the middle of the packed bytes; what came before that is enough.
        let _ = MultiGzDecoder::new(head).take(HEAD as u64).read_to_end(&mut inner);
        let mut found = Self::plain(&inner).unwrap_or(kind("a gzip-packed file of an unknown kind", Content::Packed));
        if found.name.starts_with("an MGH") {
            found.name = "an MGZ file of FreeSurfer";
        } else if found.content == Content::Archive {
            found.name = "a packed archive (.tar.gz)";
        }
        Some(found)
    }

    fn plain(head: &[u8]) -> Option<Self> {
        if head.is_empty() {
            return Some(kind("an empty file", Content::Other));
        }
        if matches!(head, [_, _, _, _, 0, 0, 0, 0, b'{', ..]) {
            return Some(SAFETENSORS);
        }
        // The size of the header, in either byte order.
        if head.first_chunk::<4>().is_some_and(|size| {
            [348, 540].iter().any(|n| i32::from_le_bytes(*size) == *n || i32::from_be_bytes(*size) == *n)
        }) {
            return Some(NIFTI);
        }
        if head.starts_with(b"PK\x03\x04") {
            return Some(zip(head));
        }
        if head.get(128..132) == Some(b"DICM") && contains(head, b"1.2.840.10008.1.3.10") {
            return Some(DICOMDIR);
        }
        let at = |(offset, bytes, _): &&(usize, &[u8], Self)| head.get(*offset..).is_some_and(|h| h.starts_with(bytes));
        if let Some((.., found)) = BEGINNINGS.iter().find(at) {
            return Some(*found);
        }
        // Pickles: protocol 2 to 5.
        if matches!(head, [0x80, 2..=5, ..]) {
            return Some(PYTORCH);
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let small: Vec<u8> = text.iter().take(64).map(u8::to_ascii_lowercase).collect();
        if small.starts_with(b"<!doctype html") || small.starts_with(b"<html") {
            return Some(kind("an HTML page, as a failed download or a login leaves it", Content::Page));
        }
        match small.first() {
            Some(b'<') => Some(kind("an XML or HTML page", Content::Page)),
            Some(b'{' | b'[') => Some(kind("a JSON file", Content::Text)),
            _ => None,
        }
    }

    /// What to do with it where a scan or a label map is asked for.
    #[must_use]
    pub fn remedy_as_scan(self) -> &'static str {
        match self.content {
            Content::Scan => "convert it to NIfTI (.nii.gz), in 3D Slicer, ITK-SNAP or SimpleITK",
            Content::Weights => "it belongs where the model is named; give a scan here",
            Content::Archive => "unpack it and give the scan in it",
            Content::Packed => "unpack it first; of packed files only .nii.gz is read",
            Content::Arrays => "it does not say where its voxels lie; save it as NIfTI with its affine",
            Content::Picture => "a scan of three dimensions is needed: NIfTI or DICOM",
            Content::Page => "download the file again",
            Content::Pointer if self == DICOMDIR => "give the folder it lists",
            Content::Pointer => "fetch the file itself",
            Content::Text | Content::Other => "give a NIfTI file, or the folder of a DICOM series",
        }
    }

    /// What to do with it where a model is asked for.
    #[must_use]
    pub fn remedy_as_model(self) -> &'static str {
        match self.content {
            Content::Weights => "make a model package of it by `unetr import`, or in a page by `importCheckpoint`",
            Content::Scan | Content::Picture => {
                "it belongs where the scan is named; give a model package (.safetensors) here"
            }
            Content::Archive | Content::Packed => "unpack it and give the model in it",
            Content::Page => "download the file again",
            Content::Pointer if self == DICOMDIR => "give a model package (.safetensors)",
            Content::Pointer => "fetch the file itself",
            Content::Arrays | Content::Text | Content::Other => {
                "give a model package (.safetensors), or a PyTorch checkpoint to import"
            }
        }
    }
}

/// What kind of zip: the first entries' names tell.
fn zip(head: &[u8]) -> FileType {
    // A local header: 26..28 is the length of the name that follows at 30.
    let length = head.get(26..).and_then(|rest| rest.first_chunk::<2>()).map_or(0, |n| u16::from_le_bytes(*n).into());
    let first = head.get(30..30 + usize::min(length, HEAD)).unwrap_or_default();
    if first.ends_with(b".npy") {
        return kind("a file of NumPy arrays (.npz)", Content::Arrays);
    }
    if contains(head, b"constants.pkl") || contains(head, b"/code/") {
        return TORCHSCRIPT;
    }
    if first.ends_with(b"data.pkl") || first.ends_with(b".format_version") || first.ends_with(b".storage_alignment") {
        return PYTORCH;
    }
    if first == b"[Content_Types].xml" {
        return kind("an office document", Content::Other);
    }
    ZIP
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn files_are_called_what_they_are() {
        let gz = |bytes: &[u8]| {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(bytes).expect("memory");
            out.finish().expect("memory")
        };
        let zip = |name: &str| {
            let mut head = b"PK\x03\x04".to_vec();
            head.resize(26, 0);
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            head.extend(name.as_bytes());
            head
        };
        let mgh = b"\0\0\0\x01\0\0\0\x40\0\0\0\x40";
        let dicom = |uid: &str| [&[0; 128][..], b"DICM\x02\0\x02\0UI\x14\0", uid.as_bytes()].concat();
        for (bytes, words) in [
            (b"NRRD0005\ntype: short".to_vec(), "NRRD"),
            (b"ObjectType = Image\nNDims = 3".to_vec(), "MetaImage"),
            (mgh.to_vec(), "MGH"),
            (gz(mgh), "MGZ"),
            (zip("a.nii"), "a zip archive"),
            (zip("arr_0.npy"), ".npz"),
            (zip("archive/data.pkl"), "PyTorch"),
            ([zip("net/data.pkl"), zip("net/code/__torch__.py")].concat(), "TorchScript"),
            (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.".to_vec(), "PyTorch"),
            (b"\x89PNG\r\n\x1a\n".to_vec(), "PNG"),
            (b"BZh91AY&SY".to_vec(), "bzip2"),
            (b"\n<!DOCTYPE html><html>".to_vec(), "HTML"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".to_vec(), "Git LFS"),
            (dicom("1.2.840.10008.1.3.10\0"), "DICOMDIR"),
            (dicom("1.2.840.10008.5.1.4.1.1.2\0"), "a DICOM file"),
            (gz(b"hello"), "gzip"),
            (Vec::new(), "empty"),
            (b"\x08\0\0\0\0\0\0\0{}".to_vec(), "safetensors"),
            (b"\x5c\x01\0\0".to_vec(), "NIfTI"),
            (gz(b"\0\0\x02\x1c"), "NIfTI"),
            (b"{\"a\": 1}".to_vec(), "JSON"),
        ] {
            let found = FileType::of(&bytes).expect(words);
            assert!(found.name.contains(words), "{} is not {words}", found.name);
        }
        assert_eq!(FileType::of(b"some words"), None);
        assert_eq!(FileType::of(b"\x01\x02\x03"), None);
    }
}
