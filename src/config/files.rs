//! The files that a configuration names: how they are read, and which they were.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::report::Report;
use super::scalar::Flaw;
use super::yaml::Node;

/// Longest file in bytes: some hundred keys or certificates.
const BYTES_MAX: u64 = 1 << 20;

/// Reads files, and remembers which.
pub(super) struct Files<'b> {
    base: &'b Path,
    /// All that were asked for, be it in vain.
    pub(super) paths: Vec<PathBuf>,
}

/// What a file holds.
pub(super) struct Content {
    /// What it is called in messages.
    shown: String,
    pub(super) bytes: Vec<u8>,
    /// Whether every user of the machine can read it.
    pub(super) is_world_readable: bool,
}

impl<'b> Files<'b> {
    /// Relative paths are relative to `base`.
    pub(super) fn new(base: &'b Path) -> Self {
        Self { base, paths: Vec::new() }
    }

    /// Where a name leads to.
    pub(super) fn path(&self, name: &str) -> Result<PathBuf, Flaw> {
        if name.is_empty() {
            return Err(Flaw::new("the path is empty"));
        }
        if name.contains(char::is_control) || name.contains("-----BEGIN") {
            return Err(Flaw::new("this is no path; what a file holds does not belong into the configuration"));
        }
        Ok(self.base.join(name))
    }

    fn read(&mut self, name: &str, is_shown: bool) -> Result<Content, Flaw> {
        let path = self.path(name)?;
        let shown = if is_shown { path.display().to_string() } else { "the file".to_owned() };
        let read = read_bounded(&path).map_err(|error| Flaw::new(format!("cannot read {shown}: {error}")));
        if !self.paths.contains(&path) {
            self.paths.push(path);
        }
        let (bytes, is_world_readable) = read?;
        Ok(Content { shown, bytes, is_world_readable })
    }
}

impl Report<'_> {
    /// What a file holds that a key names, read by `parse`.
    pub(super) fn file<T>(
        &mut self,
        node: &Node<'_>,
        expected: &str,
        files: &mut Files<'_>,
        parse: impl FnOnce(&Content) -> Result<T, Flaw>,
    ) -> Option<T> {
        // What came out of the environment is not shown: it may be a secret in the wrong place.
        let is_shown = !node.is_from_environment();
        self.parsed(node, expected, |name| parse(&files.read(name, is_shown)?))
    }
}

impl Content {
    /// A flaw of the file.
    pub(super) fn flaw(&self, message: impl AsRef<str>) -> Flaw {
        Flaw::new(format!("{}: {}", self.shown, message.as_ref()))
    }
}

/// A regular file only: a pipe could keep us waiting, a device never ends.
fn read_bounded(path: &Path) -> io::Result<(Vec<u8>, bool)> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let file = File::open(path)?;
    let is_world_readable = is_world_readable(&file.metadata()?);
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    Ok((bytes, is_world_readable))
}

#[cfg(unix)]
fn is_world_readable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_world_readable(_: &Metadata) -> bool {
    false
}
