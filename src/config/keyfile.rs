//! `issuers[].keys`: key sets in files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::core::keyset::Keyset;

use super::decode::Fields;
use super::keys;
use super::report::Report;
use super::scalar::Flaw;

/// Longest key set file in bytes: some hundred keys.
const BYTES_MAX: u64 = 1 << 20;

/// Reads key set files, and remembers which.
pub(super) struct KeyFiles<'b> {
    base: &'b Path,
    pub(super) paths: Vec<PathBuf>,
}

impl<'b> KeyFiles<'b> {
    /// Relative paths are relative to `base`.
    pub(super) fn new(base: &'b Path) -> Self {
        Self { base, paths: Vec::new() }
    }

    /// The keys of an issuer.
    pub(super) fn of_issuer(&mut self, issuer: &Fields<'_>, report: &mut Report<'_>) -> Option<Keyset> {
        report.required(issuer, "keys", |report, node| {
            let fields = report.fields(node, &keys::KEYS)?;
            report.required(&fields, "jwks_file", |report, node| {
                let expected = "the path of a JSON Web Key Set (RFC 7517)";
                let keys = report.parsed(node, expected, |text| self.read(text))?;
                for ignored in keys.ignored() {
                    report.warn(node.place, format!("a key is not used: {ignored}"));
                }
                Some(keys)
            })
        })
    }

    fn read(&mut self, name: &str) -> Result<Keyset, Flaw> {
        if name.is_empty() {
            return Err(Flaw::new("the path is empty"));
        }
        let path = self.base.join(name);
        let shown = path.display().to_string();
        if !self.paths.contains(&path) {
            self.paths.push(path.clone());
        }
        let json = read_bounded(&path).map_err(|error| Flaw::new(format!("cannot read {shown}: {error}")))?;
        Keyset::parse(&json).map_err(|error| Flaw::new(format!("{shown}: {error}")))
    }
}

/// A regular file only: a pipe could keep us waiting, a device never ends.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::other("longer than 1 MiB"));
    }
    Ok(bytes)
}
