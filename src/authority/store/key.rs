//! Signing keys as they are stored.

use std::fmt;

use zeroize::Zeroizing;

use crate::core::algorithm::Algorithm;
use crate::core::time::UnixSeconds;

/// A signing key as it is stored.
#[derive(Clone)]
pub struct StoredKey {
    /// `kid`.
    pub key_id: Box<str>,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub phase: KeyPhase,
    /// When it was made.
    pub created_at: UnixSeconds,
    /// When it came into its phase.
    pub phase_since: UnixSeconds,
    /// The longest time for which a token may be valid that it has signed, in seconds.
    pub token_seconds: i64,
    /// The private key (PKCS #8), sealed if `is_sealed`.
    pub private: Zeroizing<Vec<u8>>,
    /// Whether it is encrypted under `key_encryption_file`.
    pub is_sealed: bool,
    /// The public key as a JWK (RFC 7517).
    pub public_jwk: Box<str>,
}

/// Where a signing key is in its life. Each is published in all of them, so that no verifier meets an unknown key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPhase {
    /// Published ahead of its use.
    Next,
    /// Signs.
    Current,
    /// Signs no more; what it signed may still be valid.
    Retired,
}

impl KeyPhase {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Retired => "retired",
        }
    }

    /// The phase of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Next, Self::Current, Self::Retired].into_iter().find(|phase| phase.name() == name)
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("key_id", &self.key_id).field("phase", &self.phase).finish_non_exhaustive()
    }
}
