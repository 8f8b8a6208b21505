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
use subtle::ConstantTimeEq as _;
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

    /// Whether `secret` is the one, found out in a time that does not depend on how much of it is right.
    #[must_use]
    pub fn is_of(&self, secret: &str) -> bool {
        self.0.ct_eq(&Self::of(secret).0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(…)")
    }
}

/// Whether a text is well formed as a secret: it begins as one and its checksum is right.
#[must_use]
pub fn is_well_formed(text: &str) -> bool {
    let bytes = text.strip_prefix(PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).map(Zeroizing::new);
    let Some((random, checksum)) = bytes.as_ref().and_then(|bytes| bytes.split_at_checked(RANDOM_BYTES)) else {
        return false;
    };
    *checksum == crc32(random).to_be_bytes()
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
    fn secrets_are_recognised_and_only_they() {
        let secret = ClientSecret::generate().unwrap();
        let text = secret.reveal();
        assert_eq!((text.len(), is_well_formed(text)), (52, true));
        let last = if text.ends_with('A') { "B" } else { "A" };
        for wrong in ["", PREFIX, &text[1..], &text[..51], &format!("{text}A"), &format!("{}{last}", &text[..51])] {
            assert!(!is_well_formed(wrong), "{}", wrong.len());
        }
        assert!(secret.hash().is_of(text) && !secret.hash().is_of(&text[1..]));
        assert_eq!(format!("{secret:?} {:?}", secret.hash()), "ClientSecret(…) SecretHash(…)");
    }
}
