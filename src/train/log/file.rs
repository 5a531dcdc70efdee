//! Files that are whole at any moment: appended to in single writes, or replaced by renaming.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use super::LogError;
use crate::train::files::write_atomically;

/// What [`append`] needs of a file.
trait Growing: Write {
    fn length(&self) -> io::Result<u64>;
    fn cut(&mut self, length: u64) -> io::Result<()>;
}

impl Growing for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Makes a file that must not exist yet.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let mut file = OpenOptions::new().append(true).create_new(true).open(path).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => LogError::Exists { path: path.to_owned() },
        _ => LogError::write(path)(e),
    })?;
    whole(&mut file, bytes).map_err(|e| {
        // Nothing half-made may stand in the way of another try.
        let _ = std::fs::remove_file(path);
        LogError::write(path)(e)
    })
}

/// Appends to a file that exists. It is opened each time, so that one moved away or replaced is noticed.
pub(super) fn append(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let mut file = OpenOptions::new().append(true).open(path).map_err(LogError::write(path))?;
    whole(&mut file, bytes).map_err(LogError::write(path))
}

/// All bytes or none: a disk that fills up in the middle must not leave half a record for the next one to continue.
fn whole(file: &mut impl Growing, bytes: &[u8]) -> io::Result<()> {
    let before = file.length()?;
    file.write_all(bytes).inspect_err(|_| {
        // If even this fails, the torn record is dropped when the run is resumed.
        let _ = file.cut(before);
    })
}

/// Waits until a file's content is on the disk.
pub(super) fn sync(path: &Path) -> Result<(), LogError> {
    let file = OpenOptions::new().append(true).open(path).map_err(LogError::write(path))?;
    file.sync_all().map_err(LogError::write(path))
}

/// Gives a file new content: the old one or the new one is there, never a part.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    write_atomically(path, |out| out.write_all(bytes)).map_err(LogError::write(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room - self.bytes.len());
            if n == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.bytes.extend(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Growing for Disk {
        fn length(&self) -> io::Result<u64> {
            Ok(self.bytes.len() as u64)
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.bytes.truncate(length as usize);
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_fills_up_keeps_whole_records_only() {
        let mut disk = Disk { bytes: Vec::new(), room: 10 };
        whole(&mut disk, b"first\n").expect("room");
        let error = whole(&mut disk, b"second\n").expect_err("no room");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.bytes, b"first\n");
        disk.room = 20;
        whole(&mut disk, b"second\n").expect("room again");
        assert_eq!(disk.bytes, b"first\nsecond\n");
    }
}
