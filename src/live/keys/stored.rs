//! The last good keys on disk, for a start while an issuer is down.
//!
//! What is read here opens doors, so it has to be whole, of the same issuer and source, and not too old; anything else is
//! as good as no file. What is written is there whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::KeyFetch;
use crate::core::keyset::{KEYSET_BYTES_MAX, Keyset, KeysetError};
use crate::core::time::UnixSeconds;

/// Version of the file's format.
const FORMAT: u32 = 1;
/// Longest file in bytes: a key set in which every byte had to be escaped.
const FILE_BYTES_MAX: u64 = 6 * KEYSET_BYTES_MAX as u64 + 16 * 1024;
/// How much of an issuer's name its file's name repeats, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Keys that were fetched by another run of the program.
#[derive(Debug)]
pub struct Stored {
    /// The keys.
    pub keys: Keyset,
    /// The key set as the issuer served it.
    pub jwks: Box<str>,
    /// When it was fetched.
    pub fetched_at: UnixSeconds,
}

/// Why a file of keys is not used.
#[derive(Debug, Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// It is not what was written.
    #[error("it is damaged")]
    Damaged,
    /// Another version of the program wrote it.
    #[error("its format is {0} and not {FORMAT}")]
    Format(u32),
    /// The keys are another issuer's.
    #[error("it is of another issuer")]
    OtherIssuer,
    /// The keys were fetched from elsewhere.
    #[error("its keys came from another source than the configured one")]
    OtherSource,
    /// Its date cannot be right.
    #[error("its date is in the future")]
    Future,
    /// It is older than `max_stale`.
    #[error("its keys are {age_seconds} s old, and `max_stale` is {max_stale_seconds} s")]
    Stale {
        /// Age of the keys.
        age_seconds: i64,
        /// `issuers[].keys.max_stale`.
        max_stale_seconds: u64,
    },
    /// The key set is not usable any more.
    #[error(transparent)]
    Keyset(#[from] KeysetError),
}

/// Whose keys they are, and where from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// Name of the issuer in the configuration.
    pub name: &'a str,
    /// Its `iss`.
    pub iss: &'a str,
    /// How its keys are fetched.
    pub fetch: &'a KeyFetch,
}

/// What a file holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    issuer: String,
    /// The configured `jwks_uri`, or `discovery`.
    source: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    fetched_at: i64,
    /// The key set, byte for byte.
    jwks: String,
    /// Of all that is above, in hex.
    sha256: String,
}

/// The keys of an issuer that are kept in `directory`; `None` if there are none.
///
/// # Errors
/// If the file that is there must not be used.
pub fn stored(directory: &Path, origin: Origin<'_>, now: UnixSeconds) -> Result<Option<Stored>, Unusable> {
    let record: Record = match read(&path(directory, origin.name)) {
        Ok(text) => serde_json::from_slice(&text).map_err(|_| Unusable::Damaged)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    record.check(origin, now)?;
    let keys = Keyset::parse(record.jwks.as_bytes())?;
    Ok(Some(Stored { keys, jwks: record.jwks.into(), fetched_at: UnixSeconds(record.fetched_at) }))
}

/// Keeps the keys of an issuer in `directory`, which is made if it is not there.
///
/// # Errors
/// If the file cannot be written. The one that was there before is there still.
pub(super) fn store(directory: &Path, origin: Origin<'_>, jwks: &str, fetched_at: UnixSeconds) -> io::Result<()> {
    let mut record = Record {
        format: FORMAT,
        issuer: origin.iss.to_owned(),
        source: source(origin.fetch),
        fetched_at: fetched_at.0,
        jwks: jwks.to_owned(),
        sha256: String::new(),
    };
    record.sha256 = record.checksum();
    let text = serde_json::to_vec_pretty(&record)?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    replace(directory, &path(directory, origin.name), &text)
}

impl Record {
    fn check(&self, origin: Origin<'_>, now: UnixSeconds) -> Result<(), Unusable> {
        let max_stale_seconds = origin.fetch.max_stale.as_secs();
        let age_seconds = now.0.saturating_sub(self.fetched_at);
        if self.format != FORMAT {
            Err(Unusable::Format(self.format))
        } else if self.sha256 != self.checksum() {
            Err(Unusable::Damaged)
        } else if self.issuer != origin.iss {
            Err(Unusable::OtherIssuer)
        } else if self.source != source(origin.fetch) {
            Err(Unusable::OtherSource)
        } else if age_seconds < 0 {
            Err(Unusable::Future)
        } else if age_seconds.unsigned_abs() >= max_stale_seconds {
            Err(Unusable::Stale { age_seconds, max_stale_seconds })
        } else {
            Ok(())
        }
    }

    fn checksum(&self) -> String {
        let Self { format, issuer, source, fetched_at, jwks, sha256: _ } = self;
        let mut content = Context::new(&SHA256);
        content.update(&format.to_be_bytes());
        content.update(&fetched_at.to_be_bytes());
        for text in [issuer, source, jwks] {
            content.update(&text.len().to_be_bytes());
            content.update(text.as_bytes());
        }
        hex(content.finish().as_ref())
    }
}

fn source(fetch: &KeyFetch) -> String {
    fetch.jwks_uri.as_ref().map_or_else(|| "discovery".to_owned(), ToString::to_string)
}

/// The file of an issuer. Its name cannot lead anywhere else and is no other issuer's, also where case does not count.
fn path(directory: &Path, name: &str) -> PathBuf {
    let is_plain = |char: &char| char.is_ascii_alphanumeric() || "-_".contains(*char);
    let shown: String = name.chars().filter(is_plain).take(NAME_BYTES_MAX).collect();
    let hash = hex(digest(&SHA256, name.as_bytes()).as_ref());
    directory.join(format!("keys-{shown}-{}.json", hash.get(..16).unwrap_or_default()))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    // A pipe could keep us waiting, a device never ends.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other(format!("longer than {FILE_BYTES_MAX} bytes"))),
        false => Ok(bytes),
    }
}

/// Puts a file with this content in the place of the one at `path`, in one step, and on the disk before that.
fn replace(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let new = directory.join(format!(".keys-{:016x}.new", RandomState::new().hash_one(path)));
    let replaced = write(&new, content).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        let _ = fs::remove_file(&new);
    }
    replaced?;
    File::open(directory)?.sync_all()
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    const JWKS: &str = include_str!("../../../examples/keys/jwks.json");
    const NOW: UnixSeconds = UnixSeconds(1_795_305_600);

    fn fetch(jwks_uri: Option<&'static str>) -> KeyFetch {
        KeyFetch {
            jwks_uri: jwks_uri.map(http::Uri::from_static),
            refresh: Duration::from_secs(300),
            max_stale: Duration::from_secs(3600),
        }
    }

    fn origin<'a>(name: &'a str, fetch: &'a KeyFetch) -> Origin<'a> {
        Origin { name, iss: "https://a.example", fetch }
    }

    /// A directory with keys that were fetched at [`NOW`].
    fn kept(fetch: &KeyFetch) -> TempDir {
        let directory = tempfile::tempdir().unwrap();
        store(directory.path(), origin("partner", fetch), JWKS, NOW).unwrap();
        directory
    }

    fn why_not(directory: &TempDir, origin: Origin<'_>, now: UnixSeconds) -> String {
        stored(directory.path(), origin, now).expect_err("the keys must not be used").to_string()
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let fetch = fetch(None);
        let directory = kept(&fetch);
        let stored = stored(directory.path(), origin("partner", &fetch), NOW.plus(60)).unwrap().unwrap();
        assert_eq!((&*stored.jwks, stored.fetched_at, stored.keys.iter().len()), (JWKS, NOW, 1));
    }

    #[test]
    fn nothing_kept_is_no_error() {
        let directory = tempfile::tempdir().unwrap();
        let fetch = fetch(None);
        assert!(stored(directory.path(), origin("partner", &fetch), NOW).unwrap().is_none());
        assert!(stored(&directory.path().join("none"), origin("partner", &fetch), NOW).unwrap().is_none());
    }

    #[test]
    fn only_the_same_issuers_keys_of_the_same_source_are_used_and_only_for_a_while() {
        let fetched = fetch(Some("https://a.example/keys"));
        let directory = kept(&fetched);
        let own = origin("partner", &fetched);
        let other = Origin { iss: "https://b.example", ..own };
        assert_eq!(why_not(&directory, other, NOW), "it is of another issuer");
        for elsewhere in [fetch(None), fetch(Some("https://b.example/keys"))] {
            let why = why_not(&directory, origin("partner", &elsewhere), NOW);
            assert_eq!(why, "its keys came from another source than the configured one");
        }
        assert_eq!(why_not(&directory, own, NOW.plus(-1)), "its date is in the future");
        assert!(stored(directory.path(), own, NOW.plus(3599)).unwrap().is_some());
        let stale = why_not(&directory, own, NOW.plus(3600));
        assert_eq!(stale, "its keys are 3600 s old, and `max_stale` is 3600 s");
    }

    #[test]
    fn a_file_that_was_tampered_with_or_broke_is_not_used() {
        let fetch = fetch(None);
        let directory = kept(&fetch);
        let path = path(directory.path(), "partner");
        let whole = fs::read_to_string(&path).unwrap();
        let later = whole.replace("1795305600", "1795305700");
        let other_format = whole.replace("\"format\": 1", "\"format\": 2");
        let more = whole.replacen('{', "{\"more\": 1,", 1);
        for text in [&whole[..whole.len() / 2], "", "{}", "\0", later.as_str(), &more, &whole.replace("RSA", "EC")] {
            assert_ne!(text, whole);
            fs::write(&path, text).unwrap();
            assert_eq!(why_not(&directory, origin("partner", &fetch), NOW.plus(200)), "it is damaged", "{text}");
        }
        fs::write(&path, other_format).unwrap();
        assert_eq!(why_not(&directory, origin("partner", &fetch), NOW), "its format is 2 and not 1");
        fs::write(&path, vec![b' '; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(why_not(&directory, origin("partner", &fetch), NOW).starts_with("it cannot be read: longer than "));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(why_not(&directory, origin("partner", &fetch), NOW), "it cannot be read: not a file");
    }

    #[test]
    fn names_lead_nowhere_else_and_are_not_mixed_up() {
        let directory = Path::new("/state");
        let names = ["partner", "Partner", "../partner", "/etc/passwd", "part\0ner", "", "ü", "é", &"x".repeat(999)];
        let paths: Vec<PathBuf> = names.iter().map(|name| path(directory, name)).collect();
        let mut folded: Vec<String> = paths.iter().map(|path| path.display().to_string().to_lowercase()).collect();
        folded.sort();
        folded.dedup();
        assert_eq!(folded.len(), names.len());
        for path in paths {
            let name = path.file_name().unwrap().to_str().unwrap();
            assert!(path.parent() == Some(directory) && name.len() < 100, "{name}");
        }
    }

    #[test]
    fn only_the_owner_reads_what_is_kept_and_nothing_else_is_left() {
        let fetch = fetch(None);
        let directory = kept(&fetch);
        store(directory.path(), origin("partner", &fetch), JWKS, NOW).unwrap();
        let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap()).collect();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let inside_a_file = files[0].path().join("deeper");
        assert!(store(&inside_a_file, origin("partner", &fetch), JWKS, NOW).is_err());
    }
}
