//! The compact serialization of a JWS whose payload is a claims set, taken apart (RFC 7515 section 7.1, RFC 7519).

use std::borrow::Cow;

use super::algorithm::Algorithm;
use super::base64url;
use super::foreign::Quoted;
use super::json::{Json, Object};
use super::jwk::KEY_ID_BYTES_MAX;
use super::rejection::{Reason, Rejection};

/// The parts of the compact serialization, decoded: all that is read of them borrows from here.
pub struct Parts<'a> {
    /// What the signature is over: header, dot, payload, as they came.
    signed: &'a str,
    header: Part,
    payload: Part,
    signature: Part,
}

/// The bytes of a part; `None` if it is not canonical base64url.
type Part = Option<Vec<u8>>;

/// A JWS whose payload is a claims set.
pub(super) struct Jws<'a> {
    /// What the signature is over: header, dot, payload, as they came.
    pub(super) signed: &'a str,
    pub(super) signature: &'a [u8],
    pub(super) content: Content<'a>,
}

/// What a token says. Whether any of it is true is for the type to say that holds it. In the header, `jwk`, `jku`, `x5c`
/// and `x5u` are not read at all: a token does not bring its own key.
pub(super) struct Content<'a> {
    /// `alg` of the header.
    pub(super) algorithm: Algorithm,
    /// `kid` of the header.
    pub(super) key_id: Option<Cow<'a, str>>,
    /// `typ` of the header, as it stands there.
    pub(super) token_type: Option<Cow<'a, str>>,
    /// The claims set.
    pub(super) claims: Object<'a>,
}

impl<'a> Parts<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// `token_malformed` for what has not three parts. Whether they are well formed shows when they are read.
    pub fn split(token: &'a str) -> Result<Self, Rejection> {
        let mut dots = memchr::memchr_iter(b'.', token.as_bytes());
        let (first, second) = match (dots.next(), dots.next(), dots.count()) {
            (Some(first), Some(second), 0) => (first, second),
            (_, _, 2) => return Err(malformed("the token has five parts: encrypted tokens are not taken")),
            _ => return Err(malformed("the token is no JWT: it has not three parts")),
        };
        let split = || {
            let signed = token.get(..second)?;
            let parts = [token.get(..first)?, token.get(first + 1..second)?, token.get(second + 1..)?];
            let [header, payload, signature] = parts.map(base64url::decode);
            Some(Self { signed, header, payload, signature })
        };
        split().ok_or_else(|| malformed("the token is no JWT"))
    }
}

impl<'a> Jws<'a> {
    /// Reads the parts of a token.
    ///
    /// # Errors
    /// `token_malformed`, and `token_algorithm` for an `alg` that is none of ours.
    pub(super) fn parse(parts: &'a Parts<'_>) -> Result<Self, Rejection> {
        let Header { algorithm, key_id, token_type } = Header::parse(&parts.header)?;
        let claims = object(&parts.payload, "the claims set")?;
        let signature = decoded(&parts.signature, "the signature")?;
        Ok(Self { signed: parts.signed, signature, content: Content { algorithm, key_id, token_type, claims } })
    }
}

/// What we read of a JOSE header (RFC 7515 section 4).
struct Header<'a> {
    algorithm: Algorithm,
    key_id: Option<Cow<'a, str>>,
    token_type: Option<Cow<'a, str>>,
}

impl<'a> Header<'a> {
    fn parse(part: &'a Part) -> Result<Self, Rejection> {
        let header = object(part, "the header")?;
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
fn refuse_extensions(header: &Object<'_>) -> Result<(), Rejection> {
    if header.get("b64").is_some_and(|b64| *b64 != Json::Bool(true)) {
        return Err(malformed("an unencoded payload (b64) is not taken"));
    }
    match ["crit", "zip", "enc"].into_iter().find(|name| header.has(name)) {
        Some(name) => Err(malformed(format!("the header has {name}"))),
        None => Ok(()),
    }
}

fn optional_string<'a>(header: &Object<'a>, name: &'static str) -> Result<Option<Cow<'a, str>>, Rejection> {
    match header.get(name) {
        None => Ok(None),
        Some(Json::String(value)) => Ok(Some(value.clone())),
        Some(_) => Err(malformed(format!("{name} is not a string"))),
    }
}

fn object<'a>(part: &'a Part, what: &'static str) -> Result<Object<'a>, Rejection> {
    let value = Json::parse(decoded(part, what)?).map_err(|error| malformed(format!("{what} is {error}")))?;
    value.into_object().ok_or_else(|| malformed(format!("{what} is not a JSON object")))
}

fn decoded<'a>(part: &'a Part, what: &'static str) -> Result<&'a [u8], Rejection> {
    part.as_deref().ok_or_else(|| malformed(format!("{what} is not canonical base64url")))
}

pub(super) fn malformed(detail: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}
