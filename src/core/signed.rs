//! Claims sets that are signed by somebody whose keys are at hand: what the authority reads that is no token of an issuer's.

use std::borrow::Cow;

use super::algorithm::Algorithm;
use super::json::Object;
use super::jws::Jws;
pub use super::jws::Parts;
use super::keyset::Keyset;
use super::rejection::{Reason, Rejection};

/// A parsed claims set of which nothing is believed.
pub struct UnverifiedClaims<'a>(Jws<'a>);

/// A claims set whose signature is good.
pub struct SignedClaims<'a> {
    /// `alg` of the header, which is one of the key's.
    pub algorithm: Algorithm,
    /// `typ` of the header.
    pub token_type: Option<Cow<'a, str>>,
    /// What it says.
    pub claims: Object<'a>,
}

impl<'a> UnverifiedClaims<'a> {
    /// Reads a JWS whose payload is a claims set.
    ///
    /// # Errors
    /// `token_malformed`, and `token_algorithm` for an `alg` that is none of ours.
    pub fn parse(parts: &'a Parts<'_>) -> Result<Self, Rejection> {
        Jws::parse(parts).map(Self)
    }

    /// Whom it says that it is about.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.content.claims.str("sub")
    }

    /// Verifies the signature with the key that the header names. Where none of `keys` can have made it, a key of `decoy` is
    /// tried, and whatever it says the answer is no: whoever measures how long that takes does not learn which keys there are.
    ///
    /// # Errors
    /// `token_signature`.
    pub fn verify(self, keys: &Keyset, decoy: &Keyset) -> Result<SignedClaims<'a>, Rejection> {
        let Jws { signed, signature, content } = self.0;
        let candidates = keys.candidates(content.key_id.as_deref(), content.algorithm);
        let tried = candidates.or_else(|_| decoy.candidates(None, content.algorithm));
        let signer = tried.ok().and_then(|tried| tried.signer(signed.as_bytes(), signature));
        match candidates.is_ok() && signer.is_some() {
            true => Ok(SignedClaims {
                algorithm: content.algorithm,
                token_type: content.token_type,
                claims: content.claims,
            }),
            false => Err(Rejection::new(Reason::TokenSignature, "no key made this signature")),
        }
    }
}
