//! Client secrets: 256 random bits behind a prefix, with a checksum, so that secret scanners find them in places where they
//! should not be, and tell them from what only looks like one.
//!
//! Only a hash is stored. A fast one is right: there is nothing to guess in 256 random bits, and a slow one would let
//! anybody keep the authority busy.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// What every secret begins with.
pub const PREFIX: &str = "sgs_";

const RANDOM_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// A secret that was just made: shown once, and kept nowhere.
pub struct ClientSecret(Zeroizing<String>);

/// What is kept of a secret: its SHA-256.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(pub [u8; 32]);

impl ClientSecret {
    /// A new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES + CHECKSUM_BYTES]);
        let (random, checksum) = bytes.split_at_mut(RANDOM_BYTES);
        rand::fill(random)?;
        checksum.copy_from_slice(&crc32(random).to_be_bytes());
        Ok(Self(Zeroizing::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes.as_slice())))))
    }

    /// The text, to be shown to whoever asked for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

impl SecretHash {
    /// Of a text that may be a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(digest(&SHA256, secret.as_bytes()).as_ref().try_into().unwrap_or_default())
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// CRC-32 as in ISO-HDLC (RFC 1952 section 8).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_secret_has_its_prefix_and_its_checksum() {
        let secret = ClientSecret::generate().unwrap();
        let text = secret.reveal();
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX).unwrap()).unwrap();
        let (random, checksum) = bytes.split_at(RANDOM_BYTES);
        assert_eq!((text.len(), checksum), (52, &crc32(random).to_be_bytes()[..]));
        assert!(secret.hash() == SecretHash::of(text) && secret.hash() != SecretHash::of(&text[1..]));
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "ClientSecret(…) SecretHash(…)");
    }
}
