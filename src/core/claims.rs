//! Claims: from a verified token to who is calling.
//!
//! A token stays the same over hundreds of requests, and so does all that can be said of it without a route and a clock.
//! That is worked out once and remembered with the principal; a request then compares numbers.

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::foreign::Quoted;
use super::grant::Grant;
use super::identity;
use super::json::{Json, Object};
use super::jws::{Content, malformed};
use super::kind::Kind;
use super::registration::{Entry, Registration};
use super::registry::Clients;
use super::rejection::{Reason, Rejection};
use super::scope::{Granted, NameList};
use super::snapshot::{ClaimRef, Issuer, IssuerId, Mode, Snapshot, TokenRequirement};
use super::standing::Standing;
use super::tenant::{Claimed, TenantId, Tenants};
use super::time::UnixSeconds;
use super::token::{AttributedToken, VerifiedToken, Vouched};
use super::token_digest::TokenDigest;

/// Who is calling, as a verified token says: all that requests need of it, worked out once. That its signature is good
/// does not mean that it opens anything: see [`Principal::authenticate`] and [`Principal::authorize`].
///
/// In this order what every request reads lies together, and fills fewer cache lines: where many tokens come in turn, each of
/// them has to be fetched from afar.
#[derive(Debug)]
#[repr(C)]
pub struct Principal {
    /// Number of the snapshot under which it was worked out.
    pub snapshot: u64,
    /// Who signed the token.
    pub issuer: IssuerId,
    pub(super) standing: Standing,
    pub(super) scopes: Granted,
    pub(super) roles: Granted,
    pub(super) tenants: Tenants,
    header_lines: HeaderLines,
    /// The identity headers but the tenant's, ready to be set.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    pub(super) registration: Registration,
    pub(super) vouched: Vouched,
    /// The client.
    pub client_id: Option<Box<str>>,
    /// Scopes that count, without the issuer's prefix, those of roles included.
    pub scope_names: NameList,
    /// Roles, included ones too.
    pub role_names: NameList,
}

/// Room for the lines of the usual headers: with them a principal, behind its counts, takes up 512 bytes, a size of the allocator.
type HeaderLines = SmallVec<[u8; 88]>;

fn lines_of(headers: &[(HeaderName, HeaderValue)]) -> HeaderLines {
    let mut lines = HeaderLines::new();
    for (name, value) in headers {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    lines
}

impl Principal {
    /// Works out who is calling.
    ///
    /// # Errors
    /// `token_malformed` without `exp`, and for a registered claim (RFC 7519 section 4.1) of the wrong type.
    pub fn new(snapshot: &Snapshot, token: VerifiedToken<'_>) -> Result<Self, Rejection> {
        let VerifiedToken { issuer: id, vouched, content } = token;
        let issuer = snapshot.issuers.get(id).ok_or_else(gone)?;
        let Reading { client_id, entry, grant, standing } = Reading::of(snapshot, (id, issuer), &content)?;
        let tenants = Claimed::read(issuer, &content.claims, entry);
        let (headers, values) = identity::told(&snapshot.identity, &content.claims, client_id, &grant, tenants.names());
        Ok(Self {
            snapshot: snapshot.number,
            issuer: id,
            client_id: client_id.map(Box::from),
            header_lines: lines_of(&headers),
            headers,
            tenants: tenants.ready(issuer, values),
            registration: Registration::read(entry, &content.claims),
            vouched,
            standing,
            scopes: grant.scopes,
            roles: grant.roles,
            scope_names: grant.scope_names,
            role_names: grant.role_names,
        })
    }

    /// What the token is remembered by.
    #[must_use]
    pub fn token(&self) -> &TokenDigest {
        self.vouched.token()
    }

    /// On whose behalf the token speaks.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.standing.kind
    }

    /// Number of the change that had made the client what it was when this was worked out: its registration is part of it.
    /// `None` if nobody registers the issuer's clients, or not this one.
    #[must_use]
    pub fn registered_version(&self) -> Option<u64> {
        self.registration.version()
    }

    /// The tenants that the bearer is held to: those that the token claims, its issuer may speak for and, where clients are
    /// registered, its client has. There may be none of them left. `None` if neither token nor client is held to any.
    #[must_use]
    pub fn tenant_names(&self) -> Option<Vec<&str>> {
        self.tenants.names()
    }

    pub(super) fn tenant(&self, id: TenantId) -> Option<&HeaderValue> {
        self.tenants.value(id)
    }

    /// What is known now of its client.
    pub(super) fn entry<'s>(&self, snapshot: &'s Snapshot) -> Entry<'s> {
        Entry::of(snapshot.issuers.clients_of(self.issuer), self.client_id.as_deref())
    }

    /// Whether its client still stands, among these.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn stands(&self, clients: &Clients, now: UnixSeconds) -> Result<(), Rejection> {
        let client_id = self.client_id.as_deref();
        self.registration.stands(clients, Entry::of(Some(clients), client_id), client_id, now)
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let texts = [self.client_id.as_deref(), Some(self.scope_names.as_str()), Some(self.role_names.as_str())];
        let texts: usize = texts.into_iter().flatten().map(str::len).sum();
        let headers: usize = self.headers.iter().map(|header| header.1.len() + size_of_val(header)).sum();
        let lines = if self.header_lines.spilled() { self.header_lines.capacity() } else { 0 };
        size_of::<Self>() + texts + headers + lines + self.tenants.memory_bytes() + self.registration.memory_bytes()
    }

    /// [`Self::headers`] as they are sent in HTTP/1.1.
    #[must_use]
    pub fn header_lines(&self) -> &[u8] {
        &self.header_lines
    }

    /// The first whole second at which the token is expired, without the issuer's leeway.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.standing.validity.expires()
    }
}

/// What a principal is made of and that is held against the token.
struct Reading<'a> {
    client_id: Option<&'a str>,
    /// What is known of the client.
    entry: Entry<'a>,
    grant: Grant,
    standing: Standing,
}

impl<'a> Reading<'a> {
    fn of(
        snapshot: &'a Snapshot,
        (id, issuer): (IssuerId, &Issuer),
        content: &'a Content<'_>,
    ) -> Result<Self, Rejection> {
        check_subject(&content.claims)?;
        let client_id = client_id(issuer, &content.claims);
        let entry = Entry::of(snapshot.issuers.clients_of(id), client_id);
        let grant = Grant::read(snapshot, issuer, &content.claims, entry);
        let standing = Standing::read((id, issuer), content, &grant, client_id)?;
        Ok(Self { client_id, entry, grant, standing })
    }
}

/// Whether a token is refused whoever signed it. Nobody vouches for what is read here, and all that can come of it is a
/// no: it spares the search for a key that would change nothing.
pub(super) fn is_refused_anyway(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    token: &AttributedToken<'_, '_>,
    now: UnixSeconds,
) -> bool {
    let (id, issuer) = token.issuer();
    match Reading::of(snapshot, (id, issuer), token.content()) {
        // In shadow mode that is only noted down, once a key of the issuer has signed it.
        Ok(reading) => issuer.mode == Mode::Enforce && reading.standing.check(issuer, requirement, now).is_err(),
        Err(_) => true,
    }
}

pub(super) fn gone() -> Rejection {
    Rejection::new(Reason::TokenIssuer, "the token was verified under another configuration")
}

/// A token's client, for a text.
pub(super) fn client_text(id: Option<&str>) -> String {
    id.map_or("a token without client".into(), |id| format!("client {}", Quoted(id)))
}

/// `sub` (RFC 7519 section 4.1.2). One that is no string is refused and not taken for absent: absent means a client.
fn check_subject(claims: &Object<'_>) -> Result<(), Rejection> {
    match claims.get("sub") {
        None | Some(Json::String(_)) => Ok(()),
        Some(_) => Err(malformed("sub is not a string")),
    }
}

/// The client id: a string, or the one string of an array, which is how a client id that stands in `aud` comes.
fn client_id<'a>(issuer: &Issuer, claims: &'a Object<'_>) -> Option<&'a str> {
    let id = match ClaimRef::first(&issuer.claims.client_id, claims)? {
        Json::Array(elements) => match &elements[..] {
            [only] => only.as_str(),
            _ => None,
        },
        single => single.as_str(),
    };
    id.filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_behind_its_counts_fills_a_size_of_the_allocator() {
        assert_eq!(size_of::<Principal>() + 2 * size_of::<usize>(), 512);
    }
}
