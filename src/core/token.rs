//! From a bearer token's bytes to a token whose signature is known to be good (RFC 7515, RFC 7519, RFC 8725).

use std::fmt;

use super::bearer::BearerToken;
use super::foreign::Quoted;
use super::json::Json;
use super::jwk::Thumbprint;
use super::jws::{Content, Jws, Parts, malformed};
use super::keyset::{Candidates, NoCandidate};
use super::rejection::{Reason, Rejection};
use super::snapshot::{Issuer, IssuerId, Issuers};
use super::token_digest::TokenDigest;

/// A token whose parts are decoded, and not read as yet.
pub struct DecodedToken<'a> {
    digest: TokenDigest,
    parts: Parts<'a>,
}

/// A parsed token of which nothing is believed: it can be attributed to an issuer, and nothing else is offered.
pub struct UnverifiedToken<'a> {
    digest: TokenDigest,
    jws: Jws<'a>,
}

/// A token that says it is one of our issuers', and is signed in a way that this issuer uses if it did sign it; with the
/// keys that may have done so. Nothing of it is believed.
pub struct AttributedToken<'a, 'i> {
    token: UnverifiedToken<'a>,
    id: IssuerId,
    issuer: &'i Issuer,
    candidates: Result<Candidates<'i>, NoCandidate>,
}

/// A token signed by a key of the issuer it names.
pub struct VerifiedToken<'a> {
    /// Who signed it.
    pub(super) issuer: IssuerId,
    /// Which of the issuer's keys.
    pub(super) vouched: Vouched,
    /// What it says.
    pub(super) content: Content<'a>,
}

/// The knowledge that a certain key made the signature of a certain token, which is so for ever. Only a verification
/// makes it: with it a token need not be verified again, for as long as its issuer has that key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    token: TokenDigest,
    key: Thumbprint,
}

/// How a token's signature was found good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureCheck {
    /// It was verified before, under this very snapshot.
    Remembered,
    /// It was verified before, under another snapshot; the key that made it is still there. The token was read again.
    Revalidated,
    /// It was verified now.
    Verified,
}

#[cfg(test)]
impl<'a> VerifiedToken<'a> {
    /// A token of the first issuer with these claims, whoever signed it.
    pub(crate) fn for_tests(claims: &'a str) -> Self {
        let claims = Json::parse(claims.as_bytes()).unwrap().into_object().unwrap();
        let algorithm = super::algorithm::Algorithm::Rs256;
        let content = Content { algorithm, key_id: Some("k1".into()), token_type: None, claims };
        let vouched = Vouched { token: TokenDigest::NONE, key: Thumbprint::NONE };
        Self { issuer: IssuerId(0), vouched, content }
    }
}

/// Says who signed it, and nothing of the rest.
impl fmt::Debug for VerifiedToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.issuer)
            .field("key_id", &self.content.key_id)
            .finish_non_exhaustive()
    }
}

impl Vouched {
    /// Whose signature it is about.
    #[must_use]
    pub fn token(&self) -> &TokenDigest {
        &self.token
    }
}

impl<'a> DecodedToken<'a> {
    /// Takes a token apart: the compact serialization of a JWS (RFC 7515 section 7.1).
    ///
    /// # Errors
    /// `token_malformed`.
    pub fn of(bearer: &BearerToken<'a>) -> Result<Self, Rejection> {
        Ok(Self { digest: *bearer.digest(), parts: Parts::split(bearer.reveal())? })
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a token: a JWS whose payload is a claims set (RFC 7519).
    ///
    /// # Errors
    /// `token_malformed`, and `token_algorithm` for an `alg` that is none of ours.
    pub fn parse(token: &'a DecodedToken<'_>) -> Result<Self, Rejection> {
        Ok(Self { digest: token.digest, jws: Jws::parse(&token.parts)? })
    }

    /// Finds the issuer that the token names, and the keys within that issuer.
    ///
    /// # Errors
    /// `token_malformed` for an `iss` that is no string, `token_issuer`, and `token_algorithm` for one that this issuer
    /// does not use.
    pub fn attribute(self, issuers: &Issuers) -> Result<AttributedToken<'a, '_>, Rejection> {
        let Content { algorithm, key_id, claims, .. } = &self.jws.content;
        let iss = match claims.get("iss") {
            None => None,
            Some(Json::String(iss)) => Some(&**iss),
            Some(_) => return Err(malformed("iss is not a string")),
        };
        let found = issuers.of_token(iss).and_then(|id| Some((id, issuers.get(id)?)));
        let (id, issuer) = found.ok_or_else(|| {
            let detail = iss.map_or("the token has no iss".to_owned(), |iss| format!("no issuer is {}", Quoted(iss)));
            Rejection::new(Reason::TokenIssuer, detail)
        })?;
        if !issuer.algorithms.contains(*algorithm) {
            let detail = format!("issuer {} does not sign with {}", issuer.name, algorithm.name());
            return Err(Rejection::new(Reason::TokenAlgorithm, detail));
        }
        let candidates = issuer.keys.candidates(key_id.as_deref(), *algorithm);
        Ok(AttributedToken { token: self, id, issuer, candidates })
    }
}

impl<'a, 'i> AttributedToken<'a, 'i> {
    /// Whose it says it is.
    #[must_use]
    pub fn issuer(&self) -> (IssuerId, &'i Issuer) {
        (self.id, self.issuer)
    }

    /// What it says.
    pub(super) fn content(&self) -> &Content<'a> {
        &self.token.jws.content
    }

    /// Whether the issuer has no key for it and may have one by now.
    #[must_use]
    pub fn lacks_key(&self) -> bool {
        let may_have_come = |why| matches!(why, NoCandidate::NoKeys | NoCandidate::KeyUnknown);
        self.issuer.keys_are_fetched && self.candidates.is_err_and(may_have_come)
    }

    /// Verifies the signature over the bytes as they came. Where it is known which key made the signature of this token, it
    /// is enough that this key would be tried.
    ///
    /// # Errors
    /// `token_algorithm`, `token_key_unknown`, `token_signature`, and `keys_unavailable` for an issuer whose keys are not
    /// there.
    pub fn verify(self, known: Option<&Vouched>) -> Result<(VerifiedToken<'a>, SignatureCheck), Rejection> {
        let digest = self.token.digest;
        let candidates = self.candidates.map_err(|why| self.no_candidate(why))?;
        let known = known.filter(|known| known.token == digest && candidates.contain(known.key));
        let (vouched, check) = match known {
            Some(known) => (*known, SignatureCheck::Revalidated),
            None => {
                let Jws { signed, signature, .. } = &self.token.jws;
                let key = candidates.signer(signed.as_bytes(), signature).ok_or_else(|| self.not_signed())?;
                (Vouched { token: digest, key: key.thumbprint() }, SignatureCheck::Verified)
            }
        };
        Ok((VerifiedToken { issuer: self.id, vouched, content: self.token.jws.content }, check))
    }

    fn no_candidate(&self, why: NoCandidate) -> Rejection {
        let (name, key, algorithm) = (&self.issuer.name, self.key(), self.content().algorithm.name());
        match why {
            NoCandidate::NoKeys => Rejection::new(Reason::KeysUnavailable, format!("issuer {name} has no keys")),
            NoCandidate::KeyUnknown => {
                Rejection::new(Reason::TokenKeyUnknown, format!("issuer {name} has no key for {algorithm} and {key}"))
            }
            NoCandidate::Algorithm => Rejection::new(
                Reason::TokenAlgorithm,
                format!("issuer {name}: the key of {key} does not serve {algorithm}"),
            ),
        }
    }

    fn not_signed(&self) -> Rejection {
        let detail = format!("issuer {}: no key of {} made this signature", self.issuer.name, self.key());
        Rejection::new(Reason::TokenSignature, detail)
    }

    /// What the header says of the key, for a text.
    fn key(&self) -> String {
        self.content().key_id.as_deref().map_or("no kid".into(), |id| format!("kid {}", Quoted(id)))
    }
}
