//! What is in a file, as far as it has to be told from what was in it before.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};

/// How much of a file is looked at. No file that a configuration names may be that long.
const BYTES_MAX: u64 = 64 << 20;

/// What was found under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// SHA-256 of the first [`BYTES_MAX`] bytes.
    Digest([u8; 32]),
    /// Nothing.
    Absent,
    /// Something that is no file, or that may not be read.
    Unreadable(ErrorKind),
}

impl Content {
    /// Reads a file, through symbolic links.
    pub(super) fn read(path: &Path) -> Self {
        match digest(path) {
            Ok(digest) => Self::Digest(digest),
            Err(error) if error.kind() == ErrorKind::NotFound => Self::Absent,
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// Of a regular file only: to open a pipe could keep us waiting, and a device never ends.
fn digest(path: &Path) -> io::Result<[u8; 32]> {
    if !fs::metadata(path)?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    let mut file = File::open(path)?.take(BYTES_MAX);
    let (mut context, mut piece) = (Context::new(&SHA256), vec![0; 64 * 1024]);
    loop {
        let length = match file.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        context.update(piece.get(..length).unwrap_or_default());
    }
    context.finish().as_ref().try_into().map_err(|_| ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        assert_eq!(Content::read(&path), Content::Absent);
        fs::write(&path, "one").unwrap();
        let one = Content::read(&path);
        fs::write(&path, "two").unwrap();
        assert_ne!(Content::read(&path), one);
        fs::write(&path, "one").unwrap();
        assert_eq!(Content::read(&path), one);
        assert_eq!(Content::read(directory.path()), Content::Unreadable(ErrorKind::InvalidInput));
        // A name below a file: there is no such directory.
        assert_eq!(Content::read(&path.join("b")), Content::Unreadable(ErrorKind::NotADirectory));
    }
}
