//! Key pairs that sign tokens: RSA of 2048 bits, P-256 and Ed25519.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::seal;
use super::store::{KeyPhase, StoredKey};
use crate::config::authority::KeyEncryptionKey;
use crate::core::algorithm::Algorithm;
use crate::core::time::UnixSeconds;

/// A key that is ready to sign. Has no `Debug`.
pub struct Signer {
    key_id: Box<str>,
    algorithm: Algorithm,
    pair: Pair,
}

/// A key that was just made.
pub struct NewKey {
    algorithm: Algorithm,
    key_id: Box<str>,
    /// PKCS #8.
    private: Zeroizing<Vec<u8>>,
    public_jwk: Box<str>,
}

/// Why there is no key to sign with. The text is for operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no randomness, or a key pair could not be made or used.
    #[error("the signing key cannot be made or used")]
    Unusable,
    /// Configuration promises not to ask for it.
    #[error("tokens are not signed with {0}, but with RS256, ES256 or EdDSA")]
    Algorithm(&'static str),
    /// A key is sealed and the key to open it with is not configured.
    #[error("signing key {0} is encrypted in the storage and authority.key_encryption_file is not configured")]
    Sealed(Box<str>),
    /// A key is sealed under another key.
    #[error(
        "signing key {0} cannot be decrypted: authority.key_encryption_file does not hold the key that it was encrypted under"
    )]
    WrongEncryptionKey(Box<str>),
    /// What is stored is no key.
    #[error("signing key {0} in the storage is damaged")]
    Damaged(Box<str>),
    /// No key is the current one.
    #[error("the storage holds no current signing key")]
    NoCurrent,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl Signer {
    /// Makes a stored key ready.
    ///
    /// # Errors
    /// It cannot be opened, or is none.
    pub fn open(key: &StoredKey, encryption: Option<&KeyEncryptionKey>) -> Result<Self, KeyError> {
        let private = seal::open(key, encryption)?;
        let pair = Pair::read(key.algorithm, &private).map_err(|why| match why {
            KeyError::Unusable => KeyError::Damaged(key.key_id.clone()),
            why => why,
        })?;
        Ok(Self { key_id: key.key_id.clone(), algorithm: key.algorithm, pair })
    }

    /// The compact serialization of a JWS (RFC 7515 section 7.1) over this payload.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn sign(&self, token_type: &str, payload: &Value) -> Result<String, KeyError> {
        let header = json!({ "typ": token_type, "alg": self.algorithm.name(), "kid": self.key_id });
        let signed = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
        let signature = self.pair.sign(signed.as_bytes()).map_err(|Unspecified| KeyError::Unusable)?;
        Ok(format!("{signed}.{}", encode(signature)))
    }

    /// `kid`.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }
}

impl NewKey {
    /// Makes a key. RSA takes a while: a tenth of a second and more.
    ///
    /// # Errors
    /// There is no randomness, or tokens are not signed with this algorithm.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let (private, public) = Pair::generate(algorithm)?;
        let key_id: Box<str> = thumbprint(&public).into();
        let mut jwk = public;
        for (name, value) in [("kid", &*key_id), ("use", "sig"), ("alg", algorithm.name())] {
            jwk.as_object_mut().map(|jwk| jwk.insert(name.to_owned(), value.into()));
        }
        Ok(Self { algorithm, key_id, private, public_jwk: jwk.to_string().into() })
    }

    /// As it is stored, not sealed. It has signed nothing.
    #[must_use]
    pub fn stored(self, phase: KeyPhase, now: UnixSeconds) -> StoredKey {
        let Self { algorithm, key_id, private, public_jwk } = self;
        StoredKey {
            key_id,
            algorithm,
            phase,
            created_at: now,
            phase_since: now,
            token_seconds: 0,
            private,
            is_sealed: false,
            public_jwk,
        }
    }
}

impl Pair {
    /// A new pair: PKCS #8 of it, and the members of the public JWK that RFC 7638 asks for.
    fn generate(algorithm: Algorithm) -> Result<(Zeroizing<Vec<u8>>, Value), KeyError> {
        let made = match algorithm {
            Algorithm::Rs256 => generate_rsa(),
            Algorithm::Es256 => generate_p256(),
            Algorithm::EdDsa => generate_ed25519(),
            other => return Err(KeyError::Algorithm(other.name())),
        };
        made.map_err(|Unspecified| KeyError::Unusable)
    }

    fn read(algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::Rs256 => RsaKeyPair::from_pkcs8(pkcs8).map(|pair| Self::Rsa(Box::new(pair))),
            Algorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8).map(|pair| Self::P256(Box::new(pair)))
            }
            Algorithm::EdDsa => Ed25519KeyPair::from_pkcs8(pkcs8).map(|pair| Self::Ed25519(Box::new(pair))),
            other => return Err(KeyError::Algorithm(other.name())),
        };
        pair.map_err(|_| KeyError::Unusable)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)?;
                Ok(signature)
            }
            Self::P256(pair) => Ok(pair.sign(&SystemRandom::new(), message)?.as_ref().to_vec()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn generate_rsa() -> Result<(Zeroizing<Vec<u8>>, Value), Unspecified> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let n = rsa_2048_modulus(pair.public_key().as_ref()).ok_or(Unspecified)?;
    let public = json!({ "kty": "RSA", "n": encode(n), "e": "AQAB" });
    Ok((Zeroizing::new(pair.as_der()?.as_ref().to_vec()), public))
}

fn generate_p256() -> Result<(Zeroizing<Vec<u8>>, Value), Unspecified> {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let point = pair.public_key().as_ref().strip_prefix(&[4]).ok_or(Unspecified)?;
    let (x, y) = point.split_at_checked(32).ok_or(Unspecified)?;
    let public = json!({ "kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y) });
    Ok((Zeroizing::new(pair.to_pkcs8v1()?.as_ref().to_vec()), public))
}

fn generate_ed25519() -> Result<(Zeroizing<Vec<u8>>, Value), Unspecified> {
    let pair = Ed25519KeyPair::generate()?;
    let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key().as_ref()) });
    Ok((Zeroizing::new(pair.to_pkcs8()?.as_ref().to_vec()), public))
}

/// The modulus of an `RSAPublicKey` in DER (RFC 8017 appendix A.1.1) of exactly the kind that is made here: a sequence of
/// 2048 bits and 65537.
fn rsa_2048_modulus(der: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = &[0x30, 0x82, 0x01, 0x0A, 0x02, 0x82, 0x01, 0x01, 0x00];
    const BEHIND: &[u8] = &[0x02, 0x03, 0x01, 0x00, 0x01];
    der.strip_prefix(BEFORE)?.strip_suffix(BEHIND)
}

/// The thumbprint of a public key that has the members of RFC 7638 section 3.2 and no others: `serde_json` writes them
/// sorted and without spaces, as it is asked for there.
fn thumbprint(public: &Value) -> String {
    encode(digest(&SHA256, public.to_string().as_bytes()))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_the_specification() {
        // RFC 7638 section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj\
                 hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ\
                 vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK\
                 nqDKgw";
        let key = json!({ "kty": "RSA", "n": n, "e": "AQAB" });
        assert_eq!(thumbprint(&key), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn other_algorithms_are_refused() {
        assert_eq!(NewKey::generate(Algorithm::Ps512).err(), Some(KeyError::Algorithm("PS512")));
    }
}
