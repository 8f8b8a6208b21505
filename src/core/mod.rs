//! The decision core. It is pure: no clock, no socket, no file, no lock, no logging, no async. Everything that a decision
//! needs comes in as a value, and everything that it found goes out as one, so that the proxy and `explain` cannot
//! disagree.

mod admission;
pub mod algorithm;
mod base64url;
pub mod bearer;
pub mod claim_ref;
pub mod claims;
pub mod decision;
mod fold;
mod folded;
mod foreign;
mod grant;
pub mod head;
mod host;
mod identity;
pub mod json;
mod jwk;
pub mod keyset;
pub mod kind;
mod leaf;
mod methods;
pub mod path;
mod pattern;
pub mod rejection;
pub mod route;
pub mod scope;
pub mod snapshot;
pub mod tenant;
pub mod time;
pub mod token;
mod trie;
mod validity;

use std::sync::Arc;

use self::bearer::BearerToken;
use self::claims::Principal;
use self::decision::{Decision, Outcome, OwnAnswer, Permit, Trace};
use self::head::RequestHead;
use self::path::CanonicalPath;
use self::rejection::{Reason, Rejection};
use self::route::Miss;
use self::snapshot::{Mode, Requirement, Route, Snapshot, TokenRequirement};
use self::time::UnixSeconds;
use self::token::UnverifiedToken;

/// Remembers tokens whose signature was found good. It changes what a decision costs and never what it says: times,
/// audience, fences and scopes are checked on every request.
pub trait Memo {
    /// The principal of exactly this token, if it is remembered.
    fn recall(&self, token: &BearerToken<'_>) -> Option<Arc<Principal>>;
    /// Keeps the principal of this token.
    fn remember(&self, token: &BearerToken<'_>, principal: &Arc<Principal>);
}

/// A memo that remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoMemo;

impl Memo for NoMemo {
    fn recall(&self, _: &BearerToken<'_>) -> Option<Arc<Principal>> {
        None
    }
    fn remember(&self, _: &BearerToken<'_>, _: &Arc<Principal>) {}
}

/// What the front knows and the request does not say.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Tokens whose signature was verified before.
    pub memo: &'a dyn Memo,
}

/// A fact without which no decision can be made: the front finds it out and asks again. Nothing is needed yet: all keys
/// come from files. The type has no value, so that `let Ok(decision) = decide(…)` is all a front writes, and the first
/// need that there will be breaks the build of every front that does not see to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {}

/// Decides about one request. The steps are those of the documentation, in its order; the first that fails is the
/// rejection.
///
/// # Errors
/// A [`Need`], if a fact is missing.
pub fn decide(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
) -> Result<Decision, Need> {
    let mut trace = Trace::default();
    let outcome = outcome(snapshot, head, facts, now, &mut trace).unwrap_or_else(Outcome::Reject);
    Ok(Decision { outcome, trace })
}

fn outcome(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
    trace: &mut Trace,
) -> Result<Outcome, Rejection> {
    let target = head.target()?;
    let path = CanonicalPath::parse(target.raw_path)?;
    if let Some(answer) = own_answer(snapshot, head, &path) {
        return Ok(Outcome::Answer(answer));
    }
    let id = snapshot
        .routes
        .find(head.method, &target.host, &path, &snapshot.upstreams)
        .map_err(|miss| refuse(miss, trace))?;
    let route = snapshot.routes.get(id).ok_or_else(|| Rejection::new(Reason::RouteUnknown, "the route is gone"))?;
    trace.route = Some(id);

    let admitted = match &route.requirement {
        Requirement::Public => Ok(()),
        Requirement::Token(requirement) => admit(snapshot, requirement, head, facts, now, trace),
    };
    if let Err(rejection) = admitted {
        if !is_shadowed(snapshot, route, &rejection, trace) {
            return Err(rejection);
        }
        trace.shadowed = Some(rejection);
    }
    let principal = if trace.authenticated { trace.principal.clone() } else { None };
    Ok(Outcome::Forward(Permit {
        route: id,
        upstream: route.upstream,
        principal,
        tenant: trace.tenant.clone(),
        timeout: route.timeout,
        body_bytes_max: route.body_bytes_max.or(snapshot.body_bytes_max),
    }))
}

/// The first whole second at which [`decide`] would refuse a request that it let through, because of its token's age. What
/// outlasts its request, such as a WebSocket, has to end then. `None` without a token that mattered.
#[must_use]
pub fn ends(snapshot: &Snapshot, trace: &Trace) -> Option<UnixSeconds> {
    let principal = trace.principal.as_ref().filter(|_| trace.authenticated)?;
    let route = snapshot.routes.get(trace.route?)?;
    let shadow = snapshot.mode_of(route) == Mode::Shadow || issuer_is_shadowed(snapshot, route, trace);
    let issuer = snapshot.issuers.get(principal.issuer)?;
    (!shadow).then(|| principal.ends(issuer))
}

/// Whether the bearer of the request's token may do what `requirement` guards. Writes into `trace` how far it came.
///
/// # Errors
/// The first step that fails.
pub fn admit(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    head: &RequestHead<'_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
    trace: &mut Trace,
) -> Result<(), Rejection> {
    let bearer = bearer::extract(head.headers, snapshot.token_bytes_max)?;
    let principal = principal(snapshot, &bearer, facts, trace)?;
    trace.principal = Some(Arc::clone(&principal));
    principal.authenticate(snapshot, requirement, now)?;
    trace.authenticated = true;
    principal.authorize(snapshot, requirement)?;
    trace.tenant = tenant::settle(snapshot, requirement, &principal, head.headers)?;
    Ok(())
}

/// The principal of a token whose signature is good: remembered, or worked out now.
fn principal(
    snapshot: &Snapshot,
    bearer: &BearerToken<'_>,
    facts: &Facts<'_>,
    trace: &mut Trace,
) -> Result<Arc<Principal>, Rejection> {
    if let Some(known) = facts.memo.recall(bearer).filter(|known| known.snapshot == snapshot.number) {
        trace.remembered = true;
        return Ok(known);
    }
    let verified = UnverifiedToken::parse(bearer)?.verify(&snapshot.issuers)?;
    let principal = Arc::new(Principal::new(snapshot, verified)?);
    facts.memo.remember(bearer, &principal);
    Ok(principal)
}

fn own_answer(snapshot: &Snapshot, head: &RequestHead<'_>, path: &CanonicalPath<'_>) -> Option<OwnAnswer> {
    if snapshot.cors.is_some() && snapshot::is_preflight(head.method, head.headers) {
        return Some(OwnAnswer::Preflight);
    }
    let resource = snapshot.resource.as_ref()?;
    let asked = resource.paths.iter().any(|known| **known == *path.as_str());
    (asked && matches!(head.method.as_str(), "GET" | "HEAD")).then_some(OwnAnswer::ResourceMetadata)
}

fn refuse(miss: Miss, trace: &mut Trace) -> Rejection {
    match miss {
        Miss::Unknown => Rejection::new(Reason::RouteUnknown, "no route matches"),
        Miss::Ambiguous => Rejection::new(
            Reason::PathAmbiguous,
            "with its case folded or its trailing slash dropped the path reaches a more specific route",
        ),
        Miss::MethodAmbiguous => {
            Rejection::new(Reason::RequestMalformed, "in upper case the method would be another route's")
        }
        Miss::MethodNotAllowed { allow } => {
            trace.allow = Some(allow);
            Rejection::new(Reason::MethodNotAllowed, "the route does not have this method")
        }
    }
}

/// Whether a refusal is only noted down.
fn is_shadowed(snapshot: &Snapshot, route: &Route, rejection: &Rejection, trace: &Trace) -> bool {
    let shadow = snapshot.mode_of(route) == Mode::Shadow || issuer_is_shadowed(snapshot, route, trace);
    rejection.reason.is_shadowable() && shadow
}

/// Whether the token's issuer is in shadow mode. That covers what its keys have signed, since anybody can write its name
/// into a token; and not the routes that are other issuers', since whoever named those has decided already.
fn issuer_is_shadowed(snapshot: &Snapshot, route: &Route, trace: &Trace) -> bool {
    let (Some(principal), Requirement::Token(requirement)) = (&trace.principal, &route.requirement) else {
        return false;
    };
    let on_this_route = requirement.issuers.as_ref().is_none_or(|issuers| issuers.contains(&principal.issuer));
    on_this_route && snapshot.issuers.get(principal.issuer).is_some_and(|issuer| issuer.mode == Mode::Shadow)
}
