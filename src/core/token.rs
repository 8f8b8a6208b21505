//! From a bearer token's bytes to a token whose signature is known to be good.

use super::bearer::BearerToken;
use super::rejection::Rejection;
use super::snapshot::Issuers;

/// A parsed token of which nothing is believed: it offers `alg`, `kid` and `iss`, to find the key, and nothing else.
pub struct UnverifiedToken<'a>(&'a str);

/// A token signed by a key of the issuer it names.
pub struct VerifiedToken {}

impl<'a> UnverifiedToken<'a> {
    /// # Errors
    /// `token_malformed`
    pub fn parse(_bearer: &BearerToken<'a>) -> Result<Self, Rejection> {
        todo!()
    }
    /// # Errors
    /// issuer, algorithm, key, signature
    pub fn verify(self, _issuers: &Issuers) -> Result<VerifiedToken, Rejection> {
        let _ = self.0;
        todo!()
    }
}
