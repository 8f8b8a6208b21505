//! Snapshots built by hand, for tests of what is behind the configuration.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method};
use sidegate::core::claims::Principal;
use sidegate::core::decision::Trace;
use sidegate::core::head::RequestHead;
use sidegate::core::keyset::{AlgorithmSet, Keyset};
use sidegate::core::rejection::Rejection;
use sidegate::core::scope::Role;
use sidegate::core::snapshot::{
    Audiences, Authorization, ClaimNames, ClaimRef, ErrorFormat, ErrorStyle, Identity, IdentitySource, Issuer, Issuers,
    Kinds, Mode, Snapshot, TenantHeader, TokenRequirement, TokenTypes,
};
use sidegate::core::time::UnixSeconds;
use sidegate::core::{self, Facts, KeysAsked, Memo, NotAdmitted};

/// An issuer with the defaults of the configuration and these keys.
pub(crate) fn issuer(name: &str, iss: &str, jwks: &str) -> Issuer {
    Issuer {
        name: name.into(),
        iss: iss.into(),
        audiences: Audiences::OneOf(["https://api.test".into()].into()),
        algorithms: AlgorithmSet::default(),
        keys: Keyset::parse(jwks.as_bytes()).unwrap().into(),
        keys_are_fetched: false,
        clients: None,
        tenants: None,
        fixed_tenant: None,
        token_kinds: Kinds { client: true, user: false },
        token_types: TokenTypes::Default,
        claims: ClaimNames {
            scopes: refs(&["scope", "scp"]),
            roles: refs(&["roles"]),
            client_id: refs(&["client_id", "azp", "cid", "appid"]),
            tenant: reference("tenant_id"),
        },
        scope_prefix: "".into(),
        require_iss: true,
        client_when: None,
        leeway_seconds: 30,
        max_token_age_seconds: None,
        mode: Mode::Enforce,
    }
}

/// A snapshot that trusts these issuers, with a tenant header that clients may choose by and nothing else configured.
pub(crate) fn snapshot(issuers: Vec<Issuer>) -> Snapshot {
    Snapshot {
        number: 1,
        mode: Mode::Enforce,
        routes: Arc::default(),
        issuers: Issuers::new(issuers),
        scopes: Arc::default(),
        role_names: Arc::default(),
        roles: Arc::default(),
        identity: Identity {
            tenant: Some(TenantHeader {
                header: HeaderName::from_static("x-tenant-id"),
                required: false,
                select: true,
            }),
            headers: Box::default(),
            authorization: Authorization::Forward,
        },
        upstreams: Box::default(),
        errors: ErrorStyle { format: ErrorFormat::Envelope, realm: "test".into() },
        resource: None,
        cors: None,
        trusted_proxies: Box::default(),
        token_bytes_max: 16 * 1024,
        body_bytes_max: None,
    }
}

/// Adds a role with the roles and scopes that it stands for.
pub(crate) fn declare_role(snapshot: &mut Snapshot, name: &str, includes: &[&str], scopes: &[&str]) {
    let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
    Arc::make_mut(&mut snapshot.roles).insert(name.into(), Role { includes: boxed(includes), scopes: boxed(scopes) });
}

/// What a route asks for with `scopes: [...]`.
pub(crate) fn scopes(snapshot: &mut Snapshot, names: &[&str]) -> TokenRequirement {
    let scopes = names.iter().map(|name| Arc::make_mut(&mut snapshot.scopes).intern(name)).collect();
    TokenRequirement { scopes, ..TokenRequirement::default() }
}

/// What a route asks for with `roles: [...]`.
pub(crate) fn roles(snapshot: &mut Snapshot, names: &[&str]) -> TokenRequirement {
    let roles = names.iter().map(|name| Arc::make_mut(&mut snapshot.role_names).intern(name)).collect();
    TokenRequirement { roles, ..TokenRequirement::default() }
}

/// Headers for the backend, as in `identity.headers`.
pub(crate) fn tell(snapshot: &mut Snapshot, headers: &[(&'static str, IdentitySource)]) {
    let name = |(name, source): &(&'static str, IdentitySource)| (HeaderName::from_static(name), source.clone());
    snapshot.identity.headers = headers.iter().map(name).collect();
}

pub(crate) fn reference(text: &str) -> ClaimRef {
    ClaimRef::parse(text).unwrap()
}

pub(crate) fn refs(texts: &[&str]) -> Box<[ClaimRef]> {
    texts.iter().map(|text| reference(text)).collect()
}

/// Asks the core whether a request with these header fields may pass, at `now`, with the keys that are there.
pub(crate) fn admit(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    headers: &[(&str, &str)],
    memo: &dyn Memo,
    now: i64,
) -> (Result<(), Rejection>, Trace) {
    let facts = Facts { memo, keys: KeysAsked::Already };
    let (outcome, trace) = admit_with(snapshot, requirement, headers, &facts, now);
    (outcome.map_err(NotAdmitted::rejection), trace)
}

/// The same, with these facts.
pub(crate) fn admit_with(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    headers: &[(&str, &str)],
    facts: &Facts<'_>,
    now: i64,
) -> (Result<(), NotAdmitted>, Trace) {
    let mut fields = http::HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        fields.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    let head = RequestHead { method: &Method::GET, target: "/", headers: (&fields).into() };
    let mut trace = Trace::default();
    let outcome = core::admit(snapshot, requirement, &head, facts, UnixSeconds(now), &mut trace);
    (outcome, trace)
}

/// A header for the backend, as text.
pub(crate) fn header<'a>(principal: &'a Principal, name: &str) -> Option<&'a str> {
    let found = principal.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| std::str::from_utf8(value.as_bytes()).unwrap())
}
