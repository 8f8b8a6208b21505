//! One public key (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2), made ready to verify with.

use std::borrow::Cow;
use std::{fmt, iter};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, RsaPublicKeyComponents};

use super::algorithm::{Algorithm, AlgorithmSet};
use super::base64url;
use super::foreign::Quoted;
use super::json::{Json, Object};
use super::sha256::sha256;

/// Longest `kid` in bytes, in a key and in a token.
pub const KEY_ID_BYTES_MAX: usize = 256;

const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const RSA_ALGORITHMS: [(Algorithm, &RsaParameters); 6] = [
    (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
    (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
    (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
    (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
    (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
    (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
];

/// A public key and the algorithms that it may serve.
pub struct Key {
    id: Option<Box<str>>,
    thumbprint: Thumbprint,
    // Parsed once for each algorithm: a look-up at a request finds key and algorithm joined, and cannot join them anew.
    verifiers: Box<[(Algorithm, ParsedPublicKey)]>,
}

/// Which key it is, whatever it is called: SHA-256 over the public key and the algorithms that it may serve. A key that
/// comes in the place of another under the same `kid` has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Thumbprint([u8; 32]);

/// Why a key cannot be used.
pub(super) type Unusable = Cow<'static, str>;

impl Key {
    /// `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// What it may serve: its `alg`, or else all that its type is fit for.
    #[must_use]
    pub fn algorithms(&self) -> AlgorithmSet {
        self.verifiers.iter().map(|(algorithm, _)| *algorithm).collect()
    }

    /// Which key it is.
    pub(super) fn thumbprint(&self) -> Thumbprint {
        self.thumbprint
    }

    /// Whether it may serve `algorithm`.
    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(served, _)| *served == algorithm)
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// # Errors
    /// If it is not, or if the key does not serve the algorithm.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), Unspecified> {
        let verifier = self.verifiers.iter().find(|(served, _)| *served == algorithm);
        verifier.ok_or(Unspecified)?.1.verify_sig(message, signature)
    }

    /// The key that a member of a key set describes. What it says about certificates (`x5c`, `x5u`, `x5t`) is not looked
    /// at: the key set itself is what is trusted.
    ///
    /// # Errors
    /// Why the key cannot be used.
    pub(super) fn read(jwk: &Json<'_>) -> Result<Self, Unusable> {
        let Json::Object(jwk) = jwk else { return Err("it is not an object".into()) };
        let id = key_id(jwk)?;
        meant_for_signatures(jwk)?;
        let mut verifiers = match required(jwk, "kty")? {
            "RSA" => rsa(jwk)?,
            "EC" => elliptic_curve(jwk)?,
            "OKP" => octet_key_pair(jwk)?,
            other => return Err(format!("its kty {} is not RSA, EC or OKP", Quoted(other)).into()),
        };
        if let Some(pinned) = pinned(jwk)? {
            verifiers.retain(|(algorithm, _)| *algorithm == pinned);
        }
        Ok(Self { id, thumbprint: Thumbprint::of(&verifiers)?, verifiers: verifiers.into() })
    }
}

impl Thumbprint {
    fn of(verifiers: &[(Algorithm, ParsedPublicKey)]) -> Result<Self, Unusable> {
        let (_, key) = verifiers.first().ok_or("its alg does not fit its kty and crv")?;
        let key = AsDer::<PublicKeyX509Der<'_>>::as_der(key).map_err(|_| "it cannot be written as DER")?;
        // The DER says where it ends, and no name of the closed list begins with another.
        let names = verifiers.iter().map(|(algorithm, _)| algorithm.name().as_bytes());
        let parts: Vec<&[u8]> = iter::once(key.as_ref()).chain(names).collect();
        Ok(Self(sha256(&parts.concat())))
    }
}

#[cfg(test)]
impl Thumbprint {
    /// No key's.
    pub(super) const NONE: Self = Self([0; 32]);
}

/// The key's id and what it serves.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.verifiers.iter().map(|(algorithm, _)| algorithm.name()).collect();
        f.debug_struct("Key").field("id", &self.id).field("algorithms", &algorithms).finish()
    }
}

fn key_id(jwk: &Object<'_>) -> Result<Option<Box<str>>, Unusable> {
    match jwk.get("kid") {
        None => Ok(None),
        Some(Json::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Ok(Some(Box::from(&**id))),
        Some(Json::String(_)) => Err(format!("its kid is longer than {KEY_ID_BYTES_MAX} bytes").into()),
        Some(_) => Err("its kid is not a string".into()),
    }
}

/// Whether `use` and `key_ops` (RFC 7517 sections 4.2 and 4.3) let the key verify signatures, and whether it is a public
/// key at all: a private one that stands in a public key set is anybody's, and what it signs proves nothing.
fn meant_for_signatures(jwk: &Object<'_>) -> Result<(), Unusable> {
    let verify = Json::String("verify".into());
    match (jwk.get("use"), jwk.get("key_ops")) {
        _ if jwk.has("d") => Err("it holds a private key".into()),
        (Some(usage), _) if usage.as_str() != Some("sig") => Err("its use is not sig".into()),
        (_, None) => Ok(()),
        (_, Some(Json::Array(operations))) if operations.contains(&verify) => Ok(()),
        (_, Some(_)) => Err("its key_ops do not include verify".into()),
    }
}

fn pinned(jwk: &Object<'_>) -> Result<Option<Algorithm>, Unusable> {
    let Some(value) = jwk.get("alg") else { return Ok(None) };
    let name = value.as_str().ok_or("its alg is not a string")?;
    match Algorithm::from_name(name) {
        Some(algorithm) => Ok(Some(algorithm)),
        None => Err(format!("its alg {} is not one that is verified", Quoted(name)).into()),
    }
}

fn rsa(jwk: &Object<'_>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Unusable> {
    // Some issuers write a zero byte before a number whose highest bit is set, against RFC 7518 section 6.3.1.1.
    let modulus = bytes(jwk, "n")?;
    let modulus = without_leading_zeros(&modulus);
    let exponent = bytes(jwk, "e")?;
    let exponent = without_leading_zeros(&exponent);
    let bits = modulus.first().map_or(0, |first| modulus.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(format!("its modulus has {bits} bits and not {} to {}", RSA_BITS.start(), RSA_BITS.end()).into());
    }
    // With an exponent of 1 every message is its own signature.
    let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
    if !odd(modulus) || !odd(exponent) || exponent == [1] || exponent.len() > 4 {
        return Err("its n or e cannot be of an RSA key".into());
    }
    let components = RsaPublicKeyComponents { n: modulus, e: exponent };
    let parse = |(algorithm, parameters)| Ok((algorithm, components.to_parsed_public_key(parameters)?));
    let keys: Result<_, KeyRejected> = RSA_ALGORITHMS.into_iter().map(parse).collect();
    keys.map_err(|_| "its n and e are no RSA key".into())
}

fn elliptic_curve(jwk: &Object<'_>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Unusable> {
    // ECDSA_*_FIXED is `r || s` of RFC 7518 section 3.4; the ASN.1 form is not a JWS signature.
    let (algorithm, verification, size) = match required(jwk, "crv")? {
        "P-256" => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
        other => return Err(format!("its crv {} is not P-256 or P-384", Quoted(other)).into()),
    };
    let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err("its x or y has not the length of the curve".into());
    }
    let uncompressed = [&[4], x.as_slice(), y.as_slice()].concat();
    let key = ParsedPublicKey::new(verification, uncompressed).map_err(|_| "its point is not on the curve")?;
    Ok(vec![(algorithm, key)])
}

fn octet_key_pair(jwk: &Object<'_>) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Unusable> {
    match required(jwk, "crv")? {
        "Ed25519" => {}
        other => return Err(format!("its crv {} is not Ed25519", Quoted(other)).into()),
    }
    let x = bytes(jwk, "x")?;
    if x.len() != signature::ED25519_PUBLIC_KEY_LEN {
        return Err("its x has not the length of the curve".into());
    }
    let key = ParsedPublicKey::new(&signature::ED25519, x).map_err(|_| "its x is no Ed25519 key")?;
    Ok(vec![(Algorithm::EdDsa, key)])
}

fn required<'a>(jwk: &'a Object<'_>, name: &'static str) -> Result<&'a str, Unusable> {
    jwk.str(name).ok_or_else(|| format!("it has no string {name}").into())
}

fn bytes(jwk: &Object<'_>, name: &'static str) -> Result<Vec<u8>, Unusable> {
    base64url::decode(required(jwk, name)?).ok_or_else(|| format!("its {name} is not base64url without padding").into())
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
