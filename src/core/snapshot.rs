//! All that a decision needs, in one immutable value. A reload builds a new one and swaps it whole.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use ipnet::IpNet;

use super::fields::Fields;
use super::keyset::{AlgorithmSet, Keyset};
use super::registry::{Availability, Clients};
use super::route::RouteTable;
use super::scope::{NameId, Role, Vocabulary};

/// One validated set of configuration and keys. What is large in it is shared by those that differ only in keys.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Grows by one with each swap, but for those that only change clients ([`Snapshot::with_clients`]). What was remembered
    /// under another number has to be worked out again.
    pub number: u64,
    /// `mode` of the whole file.
    pub mode: Mode,
    /// Which route a request takes.
    pub routes: Arc<RouteTable>,
    /// Who signs tokens.
    pub issuers: Issuers,
    /// Scopes that routes and roles mention.
    pub scopes: Arc<Vocabulary>,
    /// Roles that routes and the `roles` section mention.
    pub role_names: Arc<Vocabulary>,
    /// What each declared role stands for.
    pub roles: Arc<HashMap<Box<str>, Role>>,
    /// What the backend is told.
    pub identity: Identity,
    /// Names of the upstreams, by [`UpstreamId`].
    pub upstreams: Box<[UpstreamPolicy]>,
    /// How refusals look.
    pub errors: ErrorStyle,
    /// `resource`: the protected resource's identifier (RFC 9728), if there is one.
    pub resource: Option<Resource>,
    /// `cors`, if configured.
    pub cors: Option<Cors>,
    /// Whose `X-Forwarded-*`, `Client-Cert` and XFCC are believed.
    pub trusted_proxies: Box<[IpNet]>,
    /// `limits.token_bytes`.
    pub token_bytes_max: usize,
    /// `limits.body_bytes`, for routes without `max_body`; `None` is no limit.
    pub body_bytes_max: Option<u64>,
}

/// Whether a refusal is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// A refused request is refused.
    #[default]
    Enforce,
    /// A request that would be refused for its token is let through, logged and counted.
    Shadow,
}

/// An index into [`Issuers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub u16);

/// An index into [`Snapshot::upstreams`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamId(pub u16);

/// The part of an upstream that decisions depend on.
#[derive(Debug, Clone)]
pub struct UpstreamPolicy {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// Whether its backend may ignore case or a trailing slash.
    pub paths: PathReading,
}

/// `upstreams.X.paths`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathReading {
    /// The backend may ignore case or a trailing slash, so a path that means more after folding is refused.
    #[default]
    Folding,
    /// The backend takes paths as they are.
    Exact,
}

/// The trusted issuers.
#[derive(Debug, Clone, Default)]
pub struct Issuers {
    all: Vec<Arc<Issuer>>,
    /// What is known of their clients, in the same order.
    clients: Vec<Arc<Clients>>,
    by_iss: HashMap<Box<str>, IssuerId>,
    without_iss: Option<IssuerId>,
}

impl Issuers {
    /// The issuers in the order of the configuration. The caller has made sure that no two share an `iss` and that at
    /// most one has `require_iss: false`.
    #[must_use]
    pub fn new(all: Vec<Issuer>) -> Self {
        let ids = || (0u16..).map(IssuerId);
        let by_iss = all.iter().zip(ids()).map(|(issuer, id)| (issuer.iss.clone(), id)).collect();
        let without_iss = all.iter().zip(ids()).find(|(issuer, _)| !issuer.require_iss).map(|(_, id)| id);
        let clients = all.iter().map(|_| Arc::default()).collect();
        Self { all: all.into_iter().map(Arc::new).collect(), clients, by_iss, without_iss }
    }

    /// The same issuers, with other clients of one of them.
    #[must_use]
    pub fn with_clients(&self, id: IssuerId, clients: Arc<Clients>) -> Self {
        let mut next = self.clone();
        if let Some(known) = next.clients.get_mut(usize::from(id.0)) {
            *known = clients;
        }
        next
    }

    /// Whether an issuer's clients are registered somewhere, and nobody can tell which there are.
    #[must_use]
    pub fn lacks_registry(&self, id: IssuerId) -> bool {
        let registry = self.clients_of(id).and_then(|clients| clients.registry.as_ref());
        registry.is_some_and(|registry| registry.availability == Availability::Lost)
    }

    /// What is known of an issuer's clients.
    #[must_use]
    pub fn clients_of(&self, id: IssuerId) -> Option<&Clients> {
        self.clients.get(usize::from(id.0)).map(|clients| &**clients)
    }

    /// The same issuers, one of them with other keys.
    #[must_use]
    pub fn with_keys(&self, id: IssuerId, keys: Arc<Keyset>) -> Self {
        let mut next = self.clone();
        if let Some(issuer) = next.all.get_mut(usize::from(id.0)) {
            *issuer = Arc::new(Issuer { keys, ..Issuer::clone(issuer) });
        }
        next
    }

    /// The same issuers, of whose tokens only those of one are taken, and only for this audience.
    #[must_use]
    pub fn only(&self, id: IssuerId, audience: &str) -> Self {
        let mut next = self.clone();
        next.by_iss.retain(|_, known| *known == id);
        next.without_iss = next.without_iss.filter(|known| *known == id);
        next.held_to(id, audience)
    }

    /// The same issuers, of one of which tokens are taken only for this audience.
    #[must_use]
    pub fn held_to(&self, id: IssuerId, audience: &str) -> Self {
        let mut next = self.clone();
        if let Some(issuer) = next.all.get_mut(usize::from(id.0)) {
            *issuer =
                Arc::new(Issuer { audiences: Audiences::OneOf([audience.into()].into()), ..Issuer::clone(issuer) });
        }
        next
    }

    /// The issuer of a token with this `iss`, compared exactly (RFC 7519 section 4.1.1, RFC 9068 section 4).
    #[must_use]
    pub fn of_token(&self, iss: Option<&str>) -> Option<IssuerId> {
        match iss {
            Some(iss) => self.by_iss.get(iss).copied(),
            None => self.without_iss,
        }
    }

    /// The issuer behind an id of this snapshot.
    #[must_use]
    pub fn get(&self, id: IssuerId) -> Option<&Issuer> {
        self.all.get(usize::from(id.0)).map(|issuer| &**issuer)
    }

    /// All of them with their ids.
    pub fn with_ids(&self) -> impl Iterator<Item = (IssuerId, &Issuer)> {
        (0u16..).map(IssuerId).zip(self.iter())
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Issuer> {
        self.all.iter().map(|issuer| &**issuer)
    }
}

/// One entry of `issuers`.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name in the configuration.
    pub name: Box<str>,
    /// The value of `iss`.
    pub iss: Box<str>,
    /// Which `aud` is ours.
    pub audiences: Audiences,
    /// Which algorithms are accepted.
    pub algorithms: AlgorithmSet,
    /// Its public keys; none while they could not be fetched.
    pub keys: Arc<Keyset>,
    /// Whether its keys are fetched, so that a `kid` which is not among them may be one that came since.
    pub keys_are_fetched: bool,
    /// The only clients it may speak for; `None` is all.
    pub clients: Option<HashSet<Box<str>>>,
    /// The only tenants it may speak for; `None` is all.
    pub tenants: Option<HashSet<Box<str>>>,
    /// The tenant of every token of this issuer, instead of a claim.
    pub fixed_tenant: Option<Box<str>>,
    /// Which kinds of caller it may speak for.
    pub token_kinds: Kinds,
    /// Which `typ` headers are accepted.
    pub token_types: TokenTypes,
    /// Where its tokens say what.
    pub claims: ClaimNames,
    /// Taken off a scope before it is compared; a scope without it does not count.
    pub scope_prefix: Box<str>,
    /// Whether a token without `iss` is refused.
    pub require_iss: bool,
    /// Replaces the rule by which a client's token is told from a user's.
    pub client_when: Option<ClientWhen>,
    /// Tolerated difference of clocks, in seconds.
    pub leeway_seconds: i64,
    /// Longest time since `iat`, in seconds.
    pub max_token_age_seconds: Option<i64>,
    /// Shadow: what its keys have signed is let through whatever its claims say.
    pub mode: Mode,
}

/// `issuers[].audiences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// Not checked.
    Any,
    /// One of these must be in `aud`.
    OneOf(Box<[Box<str>]>),
}

/// `issuers[].token_types`, in lower case and without `application/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenTypes {
    /// `at+jwt`, `jwt` and no `typ` at all.
    Default,
    /// Only these; a token without `typ` is refused.
    OneOf(Box<[Box<str>]>),
}

/// A set of caller kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kinds {
    /// Tokens that a client got for itself.
    pub client: bool,
    /// Tokens that a client got on behalf of a user.
    pub user: bool,
}

/// Where to find a claim: by its plain name, or by JSON Pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimRef {
    /// A member of the claims set.
    Name(Box<str>),
    /// The unescaped reference tokens of a JSON Pointer.
    Pointer(Box<[Box<str>]>),
}

/// `issuers[].claims`.
#[derive(Debug, Clone)]
pub struct ClaimNames {
    /// The first one present holds the scopes.
    pub scopes: Box<[ClaimRef]>,
    /// The first one present holds the roles.
    pub roles: Box<[ClaimRef]>,
    /// The first one present holds the client id.
    pub client_id: Box<[ClaimRef]>,
    /// The tenant or tenants.
    pub tenant: ClaimRef,
}

/// `issuers[].client_when`: the token is a client's when this claim equals this value.
#[derive(Debug, Clone)]
pub struct ClientWhen {
    /// The claim.
    pub claim: ClaimRef,
    /// The value, compared with a string claim exactly, with an integer or a boolean by its JSON text. No claim of
    /// another type equals anything.
    pub equals: Box<str>,
}

/// `identity`: what the backend is told, in headers that no client can send.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The tenant's header.
    pub tenant: Option<TenantHeader>,
    /// Header and what it says.
    pub headers: Box<[(HeaderName, IdentitySource)]>,
    /// Whether the backend sees the token.
    pub authorization: Authorization,
}

/// `identity.tenant`.
#[derive(Debug, Clone)]
pub struct TenantHeader {
    /// Its name.
    pub header: HeaderName,
    /// Whether a request without tenant is refused, where the route does not say.
    pub required: bool,
    /// Whether the client names one of several tenants in the header.
    pub select: bool,
}

/// What an identity header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentitySource {
    /// The client id, wherever the issuer puts it.
    ClientId,
    /// The granted scopes, without the issuer's prefix, roles' scopes included.
    Scopes,
    /// The granted roles, included ones too.
    Roles,
    /// A claim.
    Claim(ClaimRef),
}

/// `identity.authorization`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Authorization {
    /// The backend sees the `Authorization` header.
    #[default]
    Forward,
    /// It does not.
    Remove,
}

/// What one entry of `routes` says of the requests that it matches. Routes that say the same of the same methods share it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// Who may call.
    pub requirement: Requirement,
    /// Where it goes.
    pub upstream: UpstreamId,
    /// From the request's last byte to the response head; `None` is the upstream's.
    pub timeout: Option<Duration>,
    /// Longest body in bytes; `None` is the general limit.
    pub body_bytes_max: Option<u64>,
    /// `mode` of the route.
    pub mode: Mode,
}

/// Who may call a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// Anybody: no token is looked at.
    Public,
    /// The bearer of a token that meets this.
    Token(TokenRequirement),
}

/// What a token must be for a route. All of it must hold; with everything empty it is `authenticated: true`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TokenRequirement {
    /// All of these.
    pub scopes: Box<[NameId]>,
    /// One of these, if there are any.
    pub any_scope: Box<[NameId]>,
    /// One of these, if there are any.
    pub roles: Box<[NameId]>,
    /// Over the issuer's.
    pub token_kinds: Option<Kinds>,
    /// Only these issuers.
    pub issuers: Option<Box<[IssuerId]>>,
    /// Only these clients.
    pub clients: Option<BTreeSet<Box<str>>>,
    /// Over `identity.tenant.required`.
    pub tenant_required: Option<bool>,
}

/// `errors`.
#[derive(Debug, Clone)]
pub struct ErrorStyle {
    /// Shape of the body.
    pub format: ErrorFormat,
    /// `realm` of the challenge.
    pub realm: Box<str>,
}

/// `errors.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorFormat {
    /// `{"error":{"code":…}}`.
    #[default]
    Envelope,
    /// Problem details (RFC 9457).
    Problem,
    /// `{"error":…,"error_description":…}` (RFC 6749 section 5.2).
    Oauth,
}

/// The protected resource metadata (RFC 9728), made at load.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Where the document stands: the well-known path, and the same with the resource's own path behind it.
    pub paths: Box<[Box<str>]>,
    /// Its URL, for `resource_metadata` in challenges.
    pub metadata_url: Box<str>,
    /// The document.
    pub document: Box<str>,
}

/// `cors` (Fetch standard, CORS protocol).
#[derive(Debug, Clone)]
pub struct Cors {
    /// Origins that may read answers; `None` is `*`.
    pub origins: Option<HashSet<Box<[u8]>>>,
    /// `Access-Control-Allow-Methods`.
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`.
    pub headers: HeaderValue,
    /// `Access-Control-Max-Age`, in seconds.
    pub max_age: HeaderValue,
}

impl Snapshot {
    /// The next snapshot: the same configuration, and other keys for one of its issuers.
    #[must_use]
    pub fn with_keys(&self, issuer: IssuerId, keys: Arc<Keyset>) -> Self {
        Self { number: self.number + 1, issuers: self.issuers.with_keys(issuer, keys), ..self.clone() }
    }

    /// This snapshot with other clients of one of its issuers. It keeps its number: only what was worked out for clients that
    /// have changed has to be worked out again, and that is known by their version.
    #[must_use]
    pub fn with_clients(&self, issuer: IssuerId, clients: Arc<Clients>) -> Self {
        Self { issuers: self.issuers.with_clients(issuer, clients), ..self.clone() }
    }

    /// This snapshot for requests that are the gateway's own business: only tokens of `issuer` are accepted, and only for
    /// `audience`. Its number is none that a snapshot for other requests has, since what is remembered for those says nothing
    /// here; different issuers and audiences need memories of their own.
    #[must_use]
    pub fn for_audience(&self, issuer: IssuerId, audience: &str) -> Self {
        Self { number: !self.number, issuers: self.issuers.only(issuer, audience), ..self.clone() }
    }

    /// This snapshot, under which tokens of `issuer` are accepted only for `audience`, and those of others as ever. As with
    /// [`Self::for_audience`], what is remembered for other requests says nothing here.
    #[must_use]
    pub fn with_audience(&self, issuer: IssuerId, audience: &str) -> Self {
        Self { number: !self.number, issuers: self.issuers.held_to(issuer, audience), ..self.clone() }
    }

    /// The mode that a route is under: the file's shadow mode covers every route.
    #[must_use]
    pub fn mode_of(&self, route: &Route) -> Mode {
        if self.mode == Mode::Shadow { Mode::Shadow } else { route.mode }
    }
}

/// Whether this is a CORS preflight (Fetch standard): `OPTIONS` with `Origin` and `Access-Control-Request-Method`.
#[must_use]
pub fn is_preflight<'a>(method: &Method, headers: impl Into<Fields<'a>>) -> bool {
    let headers = headers.into();
    method == Method::OPTIONS
        && headers.contains(&http::header::ORIGIN)
        && headers.contains(&http::header::ACCESS_CONTROL_REQUEST_METHOD)
}
