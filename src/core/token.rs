//! From a bearer token's bytes to a token whose signature is known to be good (RFC 7515, RFC 7519, RFC 8725).

use std::borrow::Cow;
use std::fmt;

use super::algorithm::Algorithm;
use super::base64url;
use super::bearer::BearerToken;
use super::foreign::Quoted;
use super::json::{Json, Object};
use super::jwk::KEY_ID_BYTES_MAX;
use super::keyset::NotVerified;
use super::rejection::{Reason, Rejection};
use super::snapshot::{Issuer, IssuerId, Issuers};

/// A parsed token of which nothing is believed: `alg`, `kid` and `iss` serve to find the key, and nothing else is
/// offered. In the header, `jwk`, `jku`, `x5c` and `x5u` are not read at all: a token does not bring its own key.
pub struct UnverifiedToken<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    key_id: Option<Box<str>>,
    token_type: Option<Box<str>>,
    claims: Object,
}

/// A token signed by a key of the issuer it names.
pub struct VerifiedToken {
    /// Who signed it.
    pub issuer: IssuerId,
    /// `kid` of the header.
    pub key_id: Option<Box<str>>,
    /// How it is signed.
    pub algorithm: Algorithm,
    /// `typ` of the header, as it stands there.
    pub token_type: Option<Box<str>>,
    /// The claims set.
    pub claims: Object,
}

/// Says who signed it, and nothing of the rest.
impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.issuer)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Takes a token apart: the compact serialization of a JWS (RFC 7515 section 7.1) whose payload is a claims set.
    ///
    /// # Errors
    /// `token_malformed`, and `token_algorithm` for an `alg` that is none of ours.
    pub fn parse(bearer: &BearerToken<'a>) -> Result<Self, Rejection> {
        let parts = Parts::split(bearer.reveal())?;
        let header = Header::parse(parts.header)?;
        let claims = object(parts.payload, "the claims set")?;
        let signature = base64url::decode(parts.signature);
        let signature = signature.ok_or_else(|| malformed("the signature is not canonical base64url"))?;
        let Header { algorithm, key_id, token_type } = header;
        Ok(Self { signed: parts.signed, signature, algorithm, key_id, token_type, claims })
    }

    /// Finds the issuer, then the key within that issuer, and verifies the signature over the bytes as they came.
    ///
    /// # Errors
    /// `token_malformed` for an `iss` that is no string, `token_issuer`, `token_algorithm`, `token_key_unknown`,
    /// `token_signature`, and `keys_unavailable` for an issuer whose keys are not there.
    pub fn verify(self, issuers: &Issuers) -> Result<VerifiedToken, Rejection> {
        let (id, issuer) = self.issuer(issuers)?;
        if !issuer.algorithms.contains(self.algorithm) {
            let detail = format!("issuer {} does not sign with {}", issuer.name, self.algorithm.name());
            return Err(Rejection::new(Reason::TokenAlgorithm, detail));
        }
        let key_id = self.key_id.as_deref();
        let verified = issuer.keys.verify(key_id, self.algorithm, self.signed.as_bytes(), &self.signature);
        verified.map_err(|why| not_verified(why, issuer, key_id, self.algorithm))?;
        let Self { signed: _, signature: _, algorithm, key_id, token_type, claims } = self;
        Ok(VerifiedToken { issuer: id, key_id, algorithm, token_type, claims })
    }

    fn issuer<'i>(&self, issuers: &'i Issuers) -> Result<(IssuerId, &'i Issuer), Rejection> {
        let iss = match self.claims.get("iss") {
            None => None,
            Some(Json::String(iss)) => Some(&**iss),
            Some(_) => return Err(malformed("iss is not a string")),
        };
        let id = issuers.of_token(iss);
        id.and_then(|id| Some((id, issuers.get(id)?))).ok_or_else(|| {
            let detail = iss.map_or("the token has no iss".to_owned(), |iss| format!("no issuer is {}", Quoted(iss)));
            Rejection::new(Reason::TokenIssuer, detail)
        })
    }
}

/// The parts of the compact serialization, still encoded.
struct Parts<'a> {
    /// What the signature is over: header, dot, payload.
    signed: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, Rejection> {
        let dots = token.bytes().filter(|byte| *byte == b'.').count();
        match dots {
            2 => {}
            4 => return Err(malformed("the token has five parts: encrypted tokens are not taken")),
            _ => return Err(malformed("the token is no JWT: it has not three parts")),
        }
        let split = || {
            let (signed, signature) = token.rsplit_once('.')?;
            let (header, payload) = signed.split_once('.')?;
            Some(Self { signed, header, payload, signature })
        };
        split().ok_or_else(|| malformed("the token is no JWT"))
    }
}

/// What we read of a JOSE header (RFC 7515 section 4).
struct Header {
    algorithm: Algorithm,
    key_id: Option<Box<str>>,
    token_type: Option<Box<str>>,
}

impl Header {
    fn parse(encoded: &str) -> Result<Self, Rejection> {
        let header = object(encoded, "the header")?;
        let algorithm = header.str("alg").ok_or_else(|| malformed("the header has no string alg"))?;
        let algorithm = Algorithm::from_name(algorithm).ok_or_else(|| {
            Rejection::new(Reason::TokenAlgorithm, format!("alg {} is not accepted", Quoted(algorithm)))
        })?;
        refuse_extensions(&header)?;
        let key_id = optional_string(&header, "kid")?;
        if key_id.as_ref().is_some_and(|id| id.len() > KEY_ID_BYTES_MAX) {
            return Err(malformed(format!("kid is longer than {KEY_ID_BYTES_MAX} bytes")));
        }
        Ok(Self { algorithm, key_id, token_type: optional_string(&header, "typ")? })
    }
}

/// Refuses header parameters that change what the token means and that we do not carry out. Everything that `crit` can
/// name is one of them (RFC 7515 section 4.1.11). `enc` is no parameter of a JWS, and `zip` is not either.
fn refuse_extensions(header: &Object) -> Result<(), Rejection> {
    if header.get("b64").is_some_and(|b64| *b64 != Json::Bool(true)) {
        return Err(malformed("an unencoded payload (b64) is not taken"));
    }
    match ["crit", "zip", "enc"].into_iter().find(|name| header.has(name)) {
        Some(name) => Err(malformed(format!("the header has {name}"))),
        None => Ok(()),
    }
}

fn optional_string(header: &Object, name: &'static str) -> Result<Option<Box<str>>, Rejection> {
    match header.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(malformed(format!("{name} is not a string"))),
    }
}

fn object(encoded: &str, what: &'static str) -> Result<Object, Rejection> {
    let text = base64url::decode(encoded).ok_or_else(|| malformed(format!("{what} is not canonical base64url")))?;
    let value = Json::parse(&text).map_err(|error| malformed(format!("{what} is not valid JSON: {error}")))?;
    value.into_object().ok_or_else(|| malformed(format!("{what} is not a JSON object")))
}

fn not_verified(why: NotVerified, issuer: &Issuer, key_id: Option<&str>, algorithm: Algorithm) -> Rejection {
    let name = &issuer.name;
    let key = key_id.map_or("no kid".into(), |id| format!("kid {}", Quoted(id)));
    let algorithm = algorithm.name();
    match why {
        NotVerified::NoKeys => Rejection::new(Reason::KeysUnavailable, format!("issuer {name} has no keys")),
        NotVerified::KeyUnknown => {
            Rejection::new(Reason::TokenKeyUnknown, format!("issuer {name} has no key for {algorithm} and {key}"))
        }
        NotVerified::Algorithm => Rejection::new(
            Reason::TokenAlgorithm,
            format!("issuer {name}: the key of {key} does not serve {algorithm}"),
        ),
        NotVerified::Signature => {
            Rejection::new(Reason::TokenSignature, format!("issuer {name}: no key of {key} made this signature"))
        }
    }
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}
