//! An issuer's public keys (RFC 7517 section 5): read once, looked up at every token that is not remembered.

use std::array;

use thiserror::Error;

pub use super::algorithm::{Algorithm, AlgorithmSet};
use super::foreign::Quoted;
use super::json::{Json, JsonError};
use super::jwk::Thumbprint;
pub use super::jwk::{KEY_ID_BYTES_MAX, Key};

/// Longest key set in bytes.
pub const KEYSET_BYTES_MAX: usize = 1024 * 1024;

/// Most keys in a key set.
pub const KEYS_MAX: usize = 256;

/// Most keys that one token is tried with: what verifying a forged token can cost has a bound.
const TRIES_MAX: usize = 4;

/// The usable keys of one issuer.
#[derive(Debug, Default)]
pub struct Keyset {
    keys: Box<[Key]>,
    ignored: Box<[String]>,
}

/// Why a key set cannot be used.
#[derive(Debug, Error)]
pub enum KeysetError {
    /// It is too long.
    #[error("the key set has {bytes} bytes and {KEYSET_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It is not JSON, or not such as we take.
    #[error("the key set is {0}")]
    Json(#[from] JsonError),
    /// It has no array `keys`.
    #[error("the key set is not an object with an array \"keys\"")]
    NoKeys,
    /// It has too many keys.
    #[error("the key set has {count} keys and {KEYS_MAX} are allowed")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// It has no keys at all.
    #[error("the key set is empty")]
    Empty,
    /// None of its keys can be used.
    #[error("the key set has no usable key: {reasons}")]
    NoneUsable {
        /// Why not, for the first few.
        reasons: String,
    },
}

/// Why no key of a set can have made a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoCandidate {
    /// There are no keys.
    NoKeys,
    /// No key has this `kid`, or, without one, none serves the algorithm.
    KeyUnknown,
    /// The key of this `kid` does not serve the algorithm.
    Algorithm,
}

impl Keyset {
    /// Reads a key set. Keys that cannot be used are left out; see [`Self::ignored`].
    ///
    /// # Errors
    /// If it is no key set, or if none of its keys can be used.
    pub fn parse(text: &[u8]) -> Result<Self, KeysetError> {
        if text.len() > KEYSET_BYTES_MAX {
            return Err(KeysetError::TooLarge { bytes: text.len() });
        }
        let set = Json::parse(text)?.into_object().ok_or(KeysetError::NoKeys)?;
        let Some(Json::Array(members)) = set.get("keys") else { return Err(KeysetError::NoKeys) };
        match members.len() {
            0 => return Err(KeysetError::Empty),
            1..=KEYS_MAX => {}
            count => return Err(KeysetError::TooMany { count }),
        }
        Self::of_members(members)
    }

    fn of_members(members: &[Json<'_>]) -> Result<Self, KeysetError> {
        let (mut keys, mut ignored) = (Vec::new(), Vec::new());
        for (index, jwk) in members.iter().enumerate() {
            match Key::read(jwk) {
                Ok(key) => keys.push(key),
                Err(reason) => ignored.push(format!("{}: {reason}", describe(index, jwk))),
            }
        }
        if keys.is_empty() {
            return Err(KeysetError::NoneUsable { reasons: first_few(&ignored) });
        }
        Ok(Self { keys: keys.into(), ignored: ignored.into() })
    }

    /// The usable keys, in the order of the set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Key> {
        self.keys.iter()
    }

    /// Whether there is no usable key, as before they were first fetched.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Which keys were left out, and why: one sentence each.
    pub fn ignored(&self) -> impl ExactSizeIterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    /// The keys that a token's header names. The `kid` chooses the keys, the algorithm is the keys' own: the header has to
    /// agree with them and cannot choose.
    pub(super) fn candidates(&self, key_id: Option<&str>, algorithm: Algorithm) -> Result<Candidates<'_>, NoCandidate> {
        let mut keys = self.named(key_id).filter(|key| key.serves(algorithm));
        let candidates = Candidates { algorithm, keys: array::from_fn(|_| keys.next()) };
        match candidates.iter().next() {
            Some(_) => Ok(candidates),
            None => Err(self.why_none(key_id)),
        }
    }

    /// The keys of this `kid` (two may share one, RFC 7517 section 4.5); all, for a token without `kid`.
    fn named<'k>(&'k self, key_id: Option<&str>) -> impl Iterator<Item = &'k Key> {
        self.keys.iter().filter(move |key| key_id.is_none() || key.id() == key_id)
    }

    fn why_none(&self, key_id: Option<&str>) -> NoCandidate {
        if self.keys.is_empty() {
            NoCandidate::NoKeys
        } else if key_id.is_some() && self.named(key_id).next().is_some() {
            NoCandidate::Algorithm
        } else {
            NoCandidate::KeyUnknown
        }
    }
}

/// The keys one of which can have made a token's signature: at least one, at most [`TRIES_MAX`].
#[derive(Clone, Copy)]
pub(super) struct Candidates<'a> {
    algorithm: Algorithm,
    keys: [Option<&'a Key>; TRIES_MAX],
}

impl<'a> Candidates<'a> {
    /// The one that made this signature, if any of them did.
    pub(super) fn signer(&self, message: &[u8], signature: &[u8]) -> Option<&'a Key> {
        self.iter().find(|key| key.verify(self.algorithm, message, signature).is_ok())
    }

    /// Whether this key is one of them.
    pub(super) fn contain(&self, key: Thumbprint) -> bool {
        self.iter().any(|candidate| candidate.thumbprint() == key)
    }

    fn iter(&self) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().copied().flatten()
    }
}

fn describe(index: usize, jwk: &Json<'_>) -> String {
    let Json::Object(jwk) = jwk else { return format!("key {}", index + 1) };
    match jwk.str("kid") {
        Some(id) => format!("key {} (kid {})", index + 1, Quoted(id)),
        None => format!("key {}", index + 1),
    }
}

fn first_few(reasons: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<&str> = reasons.iter().take(SHOWN).map(String::as_str).collect();
    match reasons.len().saturating_sub(SHOWN) {
        0 => shown.join("; "),
        more => format!("{}; and {more} more", shown.join("; ")),
    }
}
