//! Claims: from a verified token to who is calling.
//!
//! A token stays the same over hundreds of requests, and so does all that can be said of it without a route and a clock.
//! That is worked out once and remembered with the principal; a request then compares numbers.

use http::{HeaderName, HeaderValue};

use super::algorithm::Algorithm;
use super::foreign::{Quoted, QuotedList};
use super::grant::Grant;
use super::identity;
use super::json::{Json, Object};
use super::kind::{self, Kind};
use super::rejection::{Reason, Rejection};
use super::scope::Granted;
use super::snapshot::{Audiences, ClaimRef, Issuer, IssuerId, Snapshot, TokenTypes};
use super::tenant::Tenants;
use super::time::UnixSeconds;
use super::token::VerifiedToken;
use super::validity::Validity;

/// Who is calling, as a verified token says: all that requests need of it, worked out once. That its signature is good
/// does not mean that it opens anything: see [`Principal::authenticate`] and [`Principal::authorize`].
#[derive(Debug)]
pub struct Principal {
    /// Number of the snapshot under which it was worked out.
    pub snapshot: u64,
    /// Who signed the token.
    pub issuer: IssuerId,
    /// `kid` of the token.
    pub key_id: Option<Box<str>>,
    /// How the token is signed.
    pub algorithm: Algorithm,
    /// The client.
    pub client_id: Option<Box<str>>,
    /// `sub`.
    pub subject: Option<Box<str>>,
    /// On whose behalf the token speaks.
    pub kind: Kind,
    /// Scopes that count, without the issuer's prefix, those of roles included.
    pub scope_names: Box<[Box<str>]>,
    /// Roles, included ones too.
    pub role_names: Box<[Box<str>]>,
    /// The identity headers but the tenant's, ready to be set.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    pub(super) validity: Validity,
    pub(super) standing: Standing,
    pub(super) scopes: Granted,
    pub(super) roles: Granted,
    pub(super) tenants: Tenants,
}

/// What the checks say that depend on nothing but token and configuration.
#[derive(Debug)]
pub(super) struct Standing {
    /// `typ` of the header is accepted.
    pub(super) token_type: Result<(), Rejection>,
    /// One of the audiences is ours.
    pub(super) audience: Result<(), Rejection>,
    /// It is an access token.
    pub(super) access: Result<(), Rejection>,
    /// It is bound to nothing that a request would have to prove.
    pub(super) binding: Result<(), Rejection>,
    /// The issuer may speak for the client.
    pub(super) client: Result<(), Rejection>,
}

impl Principal {
    /// Works out who is calling.
    ///
    /// # Errors
    /// `token_malformed` without `exp`, and for a registered claim (RFC 7519 section 4.1) of the wrong type.
    pub fn new(snapshot: &Snapshot, token: VerifiedToken) -> Result<Self, Rejection> {
        let VerifiedToken { issuer: issuer_id, key_id, algorithm, token_type, claims } = token;
        let issuer = snapshot.issuers.get(issuer_id).ok_or_else(gone)?;
        let subject = subject(&claims)?;
        let client_id = client_id(issuer, &claims);
        let grant = Grant::read(snapshot, issuer, &claims);
        let standing = Standing {
            token_type: check_type(&issuer.token_types, token_type.as_deref()),
            audience: check_audience(&issuer.audiences, &audiences(&claims)?),
            access: check_access(&claims, &grant),
            binding: check_binding(&claims),
            client: check_fence(issuer, client_id),
        };
        Ok(Self {
            snapshot: snapshot.number,
            issuer: issuer_id,
            key_id,
            algorithm,
            client_id: client_id.map(Box::from),
            subject: subject.map(Box::from),
            kind: Kind::of(&claims, client_id, issuer.client_when.as_ref()),
            headers: identity::headers(&snapshot.identity, &claims, client_id, &grant),
            validity: Validity::read(&claims)?,
            standing,
            tenants: Tenants::read(issuer, &claims),
            scopes: grant.scopes,
            roles: grant.roles,
            scope_names: grant.scope_names,
            role_names: grant.role_names,
        })
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let texts = [&self.key_id, &self.client_id, &self.subject].into_iter().flatten();
        let names = self.scope_names.iter().chain(&self.role_names);
        let texts: usize = texts.chain(names).map(|text| text.len() + size_of::<Box<str>>()).sum();
        let headers: usize = self.headers.iter().map(|header| header.1.len() + size_of_val(header)).sum();
        size_of::<Self>() + texts + headers + self.tenants.memory_bytes()
    }

    /// The first whole second at which the token is expired, without the issuer's leeway.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.validity.expires()
    }

    /// The first whole second at which the token is refused for its age: expired, or older than its issuer allows, with
    /// the issuer's leeway.
    #[must_use]
    pub fn ends(&self, issuer: &Issuer) -> UnixSeconds {
        self.validity.ends(issuer)
    }
}

pub(super) fn gone() -> Rejection {
    Rejection::new(Reason::TokenIssuer, "the token was verified under another configuration")
}

/// `sub` (RFC 7519 section 4.1.2). One that is no string is refused and not taken for absent: absent means a client.
fn subject(claims: &Object) -> Result<Option<&str>, Rejection> {
    match claims.get("sub") {
        None => Ok(None),
        Some(Json::String(subject)) => Ok(Some(subject)),
        Some(_) => Err(malformed("sub is not a string")),
    }
}

/// The client id: a string, or the one string of an array, which is how a client id that stands in `aud` comes.
fn client_id<'a>(issuer: &Issuer, claims: &'a Object) -> Option<&'a str> {
    let id = match ClaimRef::first(&issuer.claims.client_id, claims)? {
        Json::Array(elements) => match &**elements {
            [only] => only.as_str(),
            _ => None,
        },
        single => single.as_str(),
    };
    id.filter(|id| !id.is_empty())
}

/// `aud` (RFC 7519 section 4.1.3).
fn audiences(claims: &Object) -> Result<Vec<&str>, Rejection> {
    let strings: Option<Vec<&str>> = match claims.get("aud") {
        None => Some(Vec::new()),
        Some(Json::Array(elements)) => elements.iter().map(Json::as_str).collect(),
        Some(single) => single.as_str().map(|audience| vec![audience]),
    };
    strings.ok_or_else(|| malformed("aud is neither a string nor an array of strings"))
}

/// Compares `typ` as a media type: whatever its case, with and without `application/` (RFC 7515 section 4.1.9).
fn check_type(accepted: &TokenTypes, token_type: Option<&str>) -> Result<(), Rejection> {
    let lower = token_type.map(str::to_ascii_lowercase);
    let short = lower.as_deref().map(|name| name.strip_prefix("application/").unwrap_or(name));
    let ok = match (accepted, short) {
        (TokenTypes::Default, short) => matches!(short, None | Some("at+jwt" | "jwt")),
        (TokenTypes::OneOf(types), Some(short)) => types.iter().any(|known| **known == *short),
        (TokenTypes::OneOf(_), None) => false,
    };
    let found =
        || token_type.map_or("the token has no typ".into(), |found| format!("typ {} is not accepted", Quoted(found)));
    if ok { Ok(()) } else { Err(Rejection::new(Reason::TokenType, found())) }
}

fn check_audience(accepted: &Audiences, found: &[&str]) -> Result<(), Rejection> {
    let ours = match accepted {
        Audiences::Any => return Ok(()),
        Audiences::OneOf(ours) => ours,
    };
    if found.iter().any(|audience| ours.iter().any(|our| **our == **audience)) {
        return Ok(());
    }
    let found = if found.is_empty() { "nobody".to_owned() } else { QuotedList(found).to_string() };
    Err(Rejection::new(Reason::TokenAudience, format!("the token is for {found} and not for {}", QuotedList(ours))))
}

fn check_access(claims: &Object, grant: &Grant) -> Result<(), Rejection> {
    match kind::no_access_token(claims, grant.names_scope) {
        Some(what) => Err(Rejection::new(Reason::TokenKind, format!("the token is {what}"))),
        None => Ok(()),
    }
}

/// A token with `cnf` (RFC 7800) is worth nothing without a proof of the key in it, and none can be given yet.
fn check_binding(claims: &Object) -> Result<(), Rejection> {
    match claims.has("cnf") {
        true => {
            Err(Rejection::new(Reason::TokenBinding, "the token is bound to a key (cnf) and came as a bearer token"))
        }
        false => Ok(()),
    }
}

fn check_fence(issuer: &Issuer, client_id: Option<&str>) -> Result<(), Rejection> {
    let Some(fence) = &issuer.clients else { return Ok(()) };
    if client_id.is_some_and(|id| fence.contains(id)) {
        return Ok(());
    }
    let client = client_id.map_or("a token without client".into(), |id| format!("client {}", Quoted(id)));
    Err(Rejection::new(Reason::ClientUnknown, format!("issuer {} may not speak for {client}", issuer.name)))
}

fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TokenMalformed, detail)
}
