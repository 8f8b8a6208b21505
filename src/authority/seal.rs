//! Private keys at rest: AES-256-GCM under the key of `authority.key_encryption_file`, with a random nonce before the
//! ciphertext and the `kid` as associated data, so that one key's bytes cannot be put in another's place.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use zeroize::Zeroizing;

use super::signer::KeyError;
use super::store::StoredKey;
use crate::config::authority::KeyEncryptionKey;

/// Encrypts a key that is not encrypted.
///
/// # Errors
/// There is no randomness.
pub(super) fn seal(key: &mut StoredKey, encryption: &KeyEncryptionKey) -> Result<(), KeyError> {
    if key.is_sealed {
        return Ok(());
    }
    key.private = sealed(&key.private, &key.key_id, encryption).map_err(|Unspecified| KeyError::Unusable)?;
    key.is_sealed = true;
    Ok(())
}

/// The private key (PKCS #8).
///
/// # Errors
/// It is encrypted, and not under this key.
pub(super) fn open(key: &StoredKey, encryption: Option<&KeyEncryptionKey>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    if !key.is_sealed {
        return Ok(key.private.clone());
    }
    let encryption = encryption.ok_or_else(|| KeyError::Sealed(key.key_id.clone()))?;
    opened(&key.private, &key.key_id, encryption)
        .map_err(|Unspecified| KeyError::WrongEncryptionKey(key.key_id.clone()))
}

fn sealed(private: &[u8], key_id: &str, encryption: &KeyEncryptionKey) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let mut bytes = Zeroizing::new(private.to_vec());
    let aad = Aad::from(key_id.as_bytes());
    let nonce = RandomizedNonceKey::new(&AES_256_GCM, &*encryption.0)?.seal_in_place_append_tag(aad, &mut *bytes)?;
    Ok(Zeroizing::new([nonce.as_ref(), bytes.as_slice()].concat()))
}

fn opened(sealed: &[u8], key_id: &str, encryption: &KeyEncryptionKey) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
    let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN).ok_or(Unspecified)?;
    let mut bytes = Zeroizing::new(bytes.to_vec());
    let key = RandomizedNonceKey::new(&AES_256_GCM, &*encryption.0)?;
    let opened =
        key.open_in_place(Nonce::try_assume_unique_for_key(nonce)?, Aad::from(key_id.as_bytes()), &mut bytes)?;
    Ok(Zeroizing::new(opened.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::signer::{NewKey, Signer};
    use crate::authority::store::KeyPhase;
    use crate::core::algorithm::Algorithm;
    use crate::core::time::UnixSeconds;

    fn key() -> StoredKey {
        NewKey::generate(Algorithm::EdDsa).unwrap().stored(KeyPhase::Current, UnixSeconds(0))
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_and_under_its_name_alone() {
        let (right, wrong) = (KeyEncryptionKey(Zeroizing::new([1; 32])), KeyEncryptionKey(Zeroizing::new([2; 32])));
        let plain = key();
        let mut key = plain.clone();
        seal(&mut key, &right).unwrap();
        assert!(key.is_sealed && !key.private.windows(16).any(|part| plain.private.windows(16).any(|of| of == part)));
        let twice = key.private.clone();
        seal(&mut key, &right).unwrap();
        assert_eq!((open(&key, Some(&right)).unwrap(), twice), (plain.private, key.private.clone()));

        let error = |key: &StoredKey, with: Option<&KeyEncryptionKey>| Signer::open(key, with).err().unwrap();
        assert_eq!(error(&key, None), KeyError::Sealed(key.key_id.clone()));
        assert_eq!(error(&key, Some(&wrong)), KeyError::WrongEncryptionKey(key.key_id.clone()));
        let renamed = StoredKey { key_id: "other".into(), ..key.clone() };
        assert_eq!(error(&renamed, Some(&right)), KeyError::WrongEncryptionKey("other".into()));
        let mut cut = key.clone();
        cut.private.truncate(8);
        assert_eq!(error(&cut, Some(&right)), KeyError::WrongEncryptionKey(key.key_id.clone()));
        let damaged = StoredKey { private: Zeroizing::new(vec![0; 48]), ..self::key() };
        assert_eq!(error(&damaged, None), KeyError::Damaged(damaged.key_id.clone()));
    }
}
