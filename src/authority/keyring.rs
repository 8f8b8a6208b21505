//! The signing keys in use: the one that signs, and all that are published.

use serde_json::{Value, json};

use super::rotation::find;
use super::signer::{KeyError, Signer};
use super::store::{KeyPhase, StoredKey};
use crate::config::authority::KeyEncryptionKey;
use crate::core::keyset::Keyset;

/// The keys, ready for use.
pub struct Keyring {
    /// The key that signs.
    pub signer: Signer,
    /// The public keys as a JWK set (RFC 7517 section 5): the current one first, then the next, then those of before.
    pub jwks: Vec<u8>,
    /// The same, to verify with.
    pub public: Keyset,
    states: Vec<KeyState>,
    encryption: Option<KeyEncryptionKey>,
}

impl Keyring {
    /// Makes stored keys ready for use.
    ///
    /// # Errors
    /// There is no current one, or one is damaged or cannot be opened.
    pub fn open(keys: &[StoredKey], encryption: Option<&KeyEncryptionKey>) -> Result<Self, KeyError> {
        let current = find(keys, KeyPhase::Current).ok_or(KeyError::NoCurrent)?;
        let signer = Signer::open(current, encryption)?;
        let jwks = jwks(keys)?;
        let public = Keyset::parse(&jwks).map_err(|_| KeyError::Damaged(current.key_id.clone()))?;
        Ok(Self { signer, jwks, public, states: states(keys), encryption: encryption.cloned() })
    }

    /// Whether it was made from these keys, opened with this one.
    #[must_use]
    pub fn is_of(&self, keys: &[StoredKey], encryption: Option<&KeyEncryptionKey>) -> bool {
        self.states == states(keys) && self.encryption.as_ref() == encryption
    }
}

/// The public keys of stored ones, which it takes no secret to read.
///
/// # Errors
/// One is damaged.
pub fn public_keys(keys: &[StoredKey]) -> Result<Keyset, KeyError> {
    let first = keys.first().ok_or(KeyError::NoCurrent)?;
    Keyset::parse(&jwks(keys)?).map_err(|_| KeyError::Damaged(first.key_id.clone()))
}

fn jwks(keys: &[StoredKey]) -> Result<Vec<u8>, KeyError> {
    let in_phase = |phase| keys.iter().filter(move |key| key.phase == phase);
    let keys = [KeyPhase::Current, KeyPhase::Next, KeyPhase::Retired].into_iter().flat_map(in_phase);
    let read =
        |key: &StoredKey| serde_json::from_str(&key.public_jwk).map_err(|_| KeyError::Damaged(key.key_id.clone()));
    let keys: Vec<Value> = keys.map(read).collect::<Result<_, _>>()?;
    Ok(json!({ "keys": keys }).to_string().into_bytes())
}

/// Whose it is, how far in its life, and whether it is sealed: another process that shares the storage may have seen to that.
type KeyState = (Box<str>, KeyPhase, bool);

fn states(keys: &[StoredKey]) -> Vec<KeyState> {
    let mut states: Vec<_> = keys.iter().map(|key| (key.key_id.clone(), key.phase, key.is_sealed)).collect();
    states.sort_unstable();
    states
}
