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
mod facts;
pub mod fields;
mod fold;
mod folded;
mod foreign;
mod grant;
pub mod head;
mod host;
mod identity;
pub mod index;
pub mod json;
mod jwk;
mod jws;
pub mod keyset;
pub mod kind;
mod leaf;
mod methods;
mod names;
pub mod path;
mod pattern;
mod registration;
pub mod registry;
pub mod rejection;
pub mod route;
pub mod scope;
mod sha256;
pub mod signed;
pub mod snapshot;
mod standing;
pub mod tenant;
pub mod time;
pub mod token;
pub mod token_digest;
mod trie;
mod validity;

pub use self::admission::admit;
use self::decision::{Decision, Outcome, OwnAnswer, Permit, Trace};
pub use self::facts::{Facts, KeysAsked, Memo, Need, NoMemo, NotAdmitted};
use self::head::RequestHead;
use self::path::CanonicalPath;
use self::rejection::{Reason, Rejection};
use self::route::Miss;
use self::snapshot::{Mode, Requirement, Route, Snapshot};
use self::time::UnixSeconds;

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
    match outcome(snapshot, head, facts, now, &mut trace) {
        Ok(outcome) => Ok(Decision { outcome, trace }),
        Err(NotAdmitted::Rejected(rejection)) => Ok(Decision { outcome: Outcome::Reject(rejection), trace }),
        Err(NotAdmitted::Undecided(need)) => Err(need),
    }
}

fn outcome(
    snapshot: &Snapshot,
    head: &RequestHead<'_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
    trace: &mut Trace,
) -> Result<Outcome, NotAdmitted> {
    let target = head.target()?;
    let path = CanonicalPath::parse(target.raw_path)?;
    if let Some(answer) = own_answer(snapshot, head, &path) {
        return Ok(Outcome::Answer(answer));
    }
    let (id, route) = snapshot
        .routes
        .find(head.method, &target.host, &path, &snapshot.upstreams)
        .map_err(|miss| refuse(miss, trace))?;
    trace.route = Some(id);
    trace.route_mode = snapshot.mode_of(route);

    let admitted = match &route.requirement {
        Requirement::Public => Ok(()),
        Requirement::Token(requirement) => {
            let facts = facts_for(trace.route_mode, facts);
            admit(snapshot, requirement, head, &facts, now, trace)
        }
    };
    match admitted {
        Err(NotAdmitted::Rejected(rejection)) if is_shadowed(snapshot, route, &rejection, trace) => {
            settle_tenant_all_the_same(snapshot, route, head, trace)?;
            trace.shadowed = Some(rejection);
        }
        other => other?,
    }
    let principal = if trace.authenticated { trace.principal.clone() } else { None };
    Ok(Outcome::Forward(Permit {
        route: id,
        upstream: route.upstream,
        principal,
        tenant: trace.tenant,
        timeout: route.timeout,
        body_bytes_max: route.body_bytes_max.or(snapshot.body_bytes_max),
    }))
}

/// The first whole second at which [`decide`] would refuse a request that it let through, because of its token's age or
/// because its client's time is over. What outlasts its request, such as a WebSocket, has to end then. `None` without a token
/// that mattered.
#[must_use]
pub fn ends(snapshot: &Snapshot, trace: &Trace) -> Option<UnixSeconds> {
    let principal = trace.principal.as_ref().filter(|_| trace.authenticated)?;
    let route = snapshot.routes.get(trace.route?)?;
    let issuer = snapshot.issuers.get(principal.issuer)?;
    (!in_shadow(snapshot, route, trace)).then(|| {
        let token_ends = principal.standing.validity.ends(issuer);
        principal.entry(snapshot).expires().map_or(token_ends, |expires| expires.min(token_ends))
    })
}

/// Whether a request that was let through under the snapshot `then` would still be let in under a later one, as far as
/// its token's client is concerned: neither refused nor unknown, revoked or expired, and the token not revoked. For what
/// goes on after its decision, such as a long answer. Other configuration than there was then ends nothing, nor does a
/// registry that was lost, nor anything that is in shadow mode.
///
/// # Errors
/// Why it would not.
pub fn still_stands(then: &Snapshot, later: &Snapshot, trace: &Trace, now: UnixSeconds) -> Result<(), Rejection> {
    let Some(principal) = trace.principal.as_ref().filter(|_| trace.authenticated) else { return Ok(()) };
    let route = trace.route.and_then(|id| then.routes.get(id));
    if later.mode == Mode::Shadow || route.is_some_and(|route| in_shadow(then, route, trace)) {
        return Ok(());
    }
    // Numbers of issuers are a snapshot's own.
    let issuer = then.issuers.get(principal.issuer).and_then(|issuer| later.issuers.of_token(Some(&issuer.iss)));
    let Some(id) = issuer.filter(|id| later.issuers.get(*id).is_some_and(|issuer| issuer.mode == Mode::Enforce)) else {
        return Ok(());
    };
    later.issuers.clients_of(id).map_or(Ok(()), |clients| principal.stands(clients, now))
}

/// Nobody waits for a refusal that is not carried out.
fn facts_for<'a>(mode: Mode, facts: &Facts<'a>) -> Facts<'a> {
    match mode {
        Mode::Enforce => *facts,
        Mode::Shadow => Facts { keys: KeysAsked::Already, ..*facts },
    }
}

/// The tenant of a request whose bearer was refused something and that is let through in shadow mode: to its backend it is as it
/// will be once the bearer may. There may be none, for that only would have been refused as well.
///
/// # Errors
/// What is refused in shadow mode too.
fn settle_tenant_all_the_same(
    snapshot: &Snapshot,
    route: &Route,
    head: &RequestHead<'_>,
    trace: &mut Trace,
) -> Result<(), Rejection> {
    let principal = trace.principal.as_deref().filter(|_| trace.authenticated);
    let (Some(principal), Requirement::Token(requirement)) = (principal, &route.requirement) else { return Ok(()) };
    match tenant::settle(snapshot, requirement, principal, head.headers) {
        Ok(tenant) => trace.tenant = tenant,
        Err(rejection) if rejection.reason.is_shadowable() => {}
        Err(rejection) => return Err(rejection),
    }
    Ok(())
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
    rejection.reason.is_shadowable() && in_shadow(snapshot, route, trace)
}

/// Whether the route or the token's issuer is in shadow mode.
fn in_shadow(snapshot: &Snapshot, route: &Route, trace: &Trace) -> bool {
    trace.route_mode == Mode::Shadow || issuer_is_shadowed(snapshot, route, trace)
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
