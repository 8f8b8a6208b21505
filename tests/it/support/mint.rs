//! Mints tokens for tests: named keys that are made when they are first asked for, and tokens signed by them, right or
//! wrong.

use std::sync::OnceLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key pair with a name, which is its `kid`.
pub(crate) struct TestKey {
    pub(crate) name: &'static str,
    private: Private,
}

enum Private {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

/// The keys there are. Those called `stranger-…` belong in no issuer's key set.
const NAMES: [&str; 9] =
    ["rsa", "rsa-2", "p256", "p256-2", "p384", "ed", "stranger-rsa", "stranger-p256", "stranger-ed"];

/// The key of this name: the same one for the whole test run.
pub(crate) fn key(name: &str) -> &'static TestKey {
    static KEYS: [OnceLock<TestKey>; NAMES.len()] = [const { OnceLock::new() }; NAMES.len()];
    let index = NAMES.iter().position(|known| *known == name).unwrap_or_else(|| panic!("no test key {name}"));
    KEYS[index].get_or_init(|| TestKey::generate(NAMES[index]))
}

/// A key set (RFC 7517) of the public halves of these keys.
pub(crate) fn jwks(names: &[&str]) -> String {
    let keys: Vec<Value> = names.iter().map(|name| key(name).jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A key set of the public halves of these keys, each under the `kid` beside it.
pub(crate) fn jwks_as(keys: &[(&str, &str)]) -> String {
    let renamed = |(name, id): &(&str, &str)| {
        let mut jwk = key(name).jwk();
        jwk["kid"] = json!(id);
        jwk
    };
    json!({ "keys": keys.iter().map(renamed).collect::<Vec<_>>() }).to_string()
}

/// A token of this header and these claims, signed by the header's `alg` with `key`.
pub(crate) fn mint(header: &Value, claims: &Value, key: &TestKey) -> String {
    let algorithm = header["alg"].as_str().expect("a header with alg");
    let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
    let signature = key.sign(algorithm, signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

/// base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An HMAC, for tokens that pass a public key off as a shared secret.
pub(crate) fn hmac(algorithm: &str, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match algorithm {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    hmac::sign(&hmac::Key::new(algorithm, secret), message).as_ref().to_vec()
}

impl TestKey {
    fn generate(name: &'static str) -> Self {
        let private = match name.trim_start_matches("stranger-").trim_end_matches("-2") {
            "rsa" => Private::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()),
            "p256" => Private::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(), "P-256"),
            "p384" => Private::Ec(EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(), "P-384"),
            _ => Private::Ed(Ed25519KeyPair::generate().unwrap()),
        };
        Self { name, private }
    }

    /// The algorithm that this key signs with where nothing else is said.
    pub(crate) fn algorithm(&self) -> &'static str {
        match &self.private {
            Private::Rsa(_) => "RS256",
            Private::Ec(_, "P-256") => "ES256",
            Private::Ec(..) => "ES384",
            Private::Ed(_) => "EdDSA",
        }
    }

    /// Signs with this algorithm, or with the key's own if it cannot serve this one: what the header says and what the
    /// signature is may differ.
    pub(crate) fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.private {
            Private::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(rsa_encoding(algorithm), &random, message, &mut signature).unwrap();
                signature
            }
            Private::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Private::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public half as a JWK with `kid` and nothing that narrows its use.
    pub(crate) fn jwk(&self) -> Value {
        match &self.private {
            Private::Rsa(pair) => {
                let (n, e) = rsa_numbers(pair.public_key().as_ref());
                json!({ "kty": "RSA", "kid": self.name, "n": encode(n), "e": encode(e) })
            }
            Private::Ec(pair, curve) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at((pair.public_key().as_ref().len() - 1) / 2);
                json!({ "kty": "EC", "crv": curve, "kid": self.name, "x": encode(x), "y": encode(y) })
            }
            Private::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.name, "x": encode(pair.public_key().as_ref()) })
            }
        }
    }

    /// The public half as `SubjectPublicKeyInfo`, in DER.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        match &self.private {
            Private::Rsa(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Private::Ec(pair, _) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
            Private::Ed(pair) => pair.public_key().as_der().unwrap().as_ref().to_vec(),
        }
    }

    /// The public half as `SubjectPublicKeyInfo`, in PEM.
    pub(crate) fn public_pem(&self) -> String {
        let base64 = STANDARD.encode(self.public_der());
        let lines: Vec<&str> = base64.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// SHA-256 of the public half.
    pub(crate) fn thumbprint(&self) -> String {
        encode(digest::digest(&digest::SHA256, &self.public_der()))
    }
}

fn rsa_encoding(algorithm: &str) -> &'static dyn RsaEncoding {
    match algorithm {
        "RS384" => &signature::RSA_PKCS1_SHA384,
        "RS512" => &signature::RSA_PKCS1_SHA512,
        "PS256" => &signature::RSA_PSS_SHA256,
        "PS384" => &signature::RSA_PSS_SHA384,
        "PS512" => &signature::RSA_PSS_SHA512,
        _ => &signature::RSA_PKCS1_SHA256,
    }
}

/// Modulus and exponent of an `RSAPublicKey` in DER (RFC 8017 appendix A.1.1): a sequence of two integers.
fn rsa_numbers(der: &[u8]) -> (&[u8], &[u8]) {
    let (sequence, _) = der_value(der);
    let (modulus, rest) = der_value(sequence);
    let (exponent, _) = der_value(rest);
    (modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent)
}

/// The first value in `der`, and what follows it.
fn der_value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let end = 2 + usize::from(long & 0x7f);
            (der[2..end].iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), end)
        }
    };
    (&der[start..start + length], &der[start + length..])
}
