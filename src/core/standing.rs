//! Whether a token is valid, but for its signature: what its claims and its header say, held against its issuer's
//! configuration, a route's and the clock.

use std::slice;

use super::claims::client_text;
use super::foreign::{Quoted, QuotedList};
use super::grant::Grant;
use super::json::{Json, Object};
use super::jws::{Content, malformed};
use super::kind::{self, Kind};
use super::rejection::{Reason, Rejection};
use super::snapshot::{Audiences, Issuer, IssuerId, TokenRequirement, TokenTypes};
use super::time::UnixSeconds;
use super::validity::Validity;

/// What the checks say that depend on nothing but token and configuration, and what the others are made from.
#[derive(Debug)]
pub(super) struct Standing {
    issuer: IssuerId,
    /// On whose behalf the token speaks.
    pub(super) kind: Kind,
    pub(super) validity: Validity,
    /// `typ` of the header is accepted.
    token_type: Verdict,
    /// One of the audiences is ours.
    audience: Verdict,
    /// It is an access token.
    access: Verdict,
    /// It is bound to nothing that a request would have to prove.
    binding: Verdict,
    /// The issuer may speak for the client.
    client: Verdict,
}

/// What a check says. Most that are remembered say nothing, so the rejection takes its room elsewhere.
#[derive(Debug)]
struct Verdict(Option<Box<Rejection>>);

impl From<Result<(), Rejection>> for Verdict {
    fn from(checked: Result<(), Rejection>) -> Self {
        Self(checked.err().map(Box::new))
    }
}

impl Verdict {
    fn check(&self) -> Result<(), Rejection> {
        self.0.as_deref().map_or(Ok(()), |rejection| Err(rejection.clone()))
    }
}

impl Standing {
    /// Reads what is checked of a token. `grant` and `client_id` are what it says of scopes and client.
    ///
    /// # Errors
    /// `token_malformed` without `exp`, and for a registered claim (RFC 7519 section 4.1) of the wrong type.
    pub(super) fn read(
        (id, issuer): (IssuerId, &Issuer),
        content: &Content<'_>,
        grant: &Grant,
        client_id: Option<&str>,
    ) -> Result<Self, Rejection> {
        let claims = &content.claims;
        Ok(Self {
            issuer: id,
            kind: Kind::of(claims, client_id, issuer.client_when.as_ref()),
            token_type: check_type(&issuer.token_types, content.token_type.as_deref()).into(),
            audience: check_audience(&issuer.audiences, audiences(claims)?).into(),
            access: check_access(claims, grant).into(),
            binding: check_binding(claims).into(),
            client: check_fence(issuer, client_id).into(),
            validity: Validity::read(claims)?,
        })
    }

    /// Whether the token is valid, here and now, for an issuer of this snapshot. In this order: `typ`, issuer of the route,
    /// `aud`, `exp`, `nbf`, `iat`, age, access token, client or user, binding, client.
    ///
    /// # Errors
    /// The first check that fails; each is a 401.
    pub(super) fn check(
        &self,
        issuer: &Issuer,
        requirement: &TokenRequirement,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        self.token_type.check()?;
        self.check_route_issuer(requirement, issuer)?;
        self.audience.check()?;
        self.validity.check(issuer, now)?;
        self.access.check()?;
        self.check_kind(requirement, issuer)?;
        self.binding.check()?;
        self.client.check()
    }

    fn check_route_issuer(&self, requirement: &TokenRequirement, issuer: &Issuer) -> Result<(), Rejection> {
        match &requirement.issuers {
            Some(issuers) if !issuers.contains(&self.issuer) => {
                Err(Rejection::new(Reason::TokenIssuer, format!("the route does not take tokens of {}", issuer.name)))
            }
            _ => Ok(()),
        }
    }

    fn check_kind(&self, requirement: &TokenRequirement, issuer: &Issuer) -> Result<(), Rejection> {
        match requirement.token_kinds.unwrap_or(issuer.token_kinds).contains(self.kind) {
            true => Ok(()),
            false => Err(Rejection::new(Reason::TokenKind, format!("the token is a {}'s", self.kind.name()))),
        }
    }
}

/// `aud` (RFC 7519 section 4.1.3): strings.
fn audiences<'a, 't>(claims: &'a Object<'t>) -> Result<&'a [Json<'t>], Rejection> {
    let audiences = match claims.get("aud") {
        None => &[],
        Some(Json::Array(elements)) => elements.as_slice(),
        Some(single) => slice::from_ref(single),
    };
    match audiences.iter().all(|audience| audience.as_str().is_some()) {
        true => Ok(audiences),
        false => Err(malformed("aud is neither a string nor an array of strings")),
    }
}

/// Compares `typ` as a media type: whatever its case, with and without `application/` (RFC 7515 section 4.1.9).
fn check_type(accepted: &TokenTypes, token_type: Option<&str>) -> Result<(), Rejection> {
    let ok = match (accepted, token_type.map(without_application)) {
        (TokenTypes::Default, None) => true,
        (TokenTypes::Default, Some(short)) => ["at+jwt", "jwt"].iter().any(|known| known.eq_ignore_ascii_case(short)),
        (TokenTypes::OneOf(types), Some(short)) => types.iter().any(|known| known.eq_ignore_ascii_case(short)),
        (TokenTypes::OneOf(_), None) => false,
    };
    let found =
        || token_type.map_or("the token has no typ".into(), |found| format!("typ {} is not accepted", Quoted(found)));
    if ok { Ok(()) } else { Err(Rejection::new(Reason::TokenType, found())) }
}

fn without_application(media_type: &str) -> &str {
    const APPLICATION: &str = "application/";
    let prefix = media_type.get(..APPLICATION.len()).filter(|prefix| prefix.eq_ignore_ascii_case(APPLICATION));
    prefix.and_then(|prefix| media_type.get(prefix.len()..)).unwrap_or(media_type)
}

fn check_audience(accepted: &Audiences, found: &[Json<'_>]) -> Result<(), Rejection> {
    let ours = match accepted {
        Audiences::Any => return Ok(()),
        Audiences::OneOf(ours) => ours,
    };
    let found = || found.iter().filter_map(Json::as_str);
    if found().any(|audience| ours.iter().any(|our| **our == *audience)) {
        return Ok(());
    }
    let found: Vec<&str> = found().collect();
    let found = if found.is_empty() { "nobody".to_owned() } else { QuotedList(&found).to_string() };
    Err(Rejection::new(Reason::TokenAudience, format!("the token is for {found} and not for {}", QuotedList(ours))))
}

fn check_access(claims: &Object<'_>, grant: &Grant) -> Result<(), Rejection> {
    match kind::no_access_token(claims, grant.names_scope) {
        Some(what) => Err(Rejection::new(Reason::TokenKind, format!("the token is {what}"))),
        None => Ok(()),
    }
}

/// A token with `cnf` (RFC 7800) is worth nothing without a proof of the key in it, and none can be given yet.
fn check_binding(claims: &Object<'_>) -> Result<(), Rejection> {
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
    let detail = format!("issuer {} may not speak for {}", issuer.name, client_text(client_id));
    Err(Rejection::new(Reason::ClientUnknown, detail))
}
