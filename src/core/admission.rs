//! What the bearer of a request's token may do on a route, at a moment: steps 5 to 7 of a request.
//!
//! A request that passes with a token that is remembered allocates nothing here.

use std::sync::Arc;

use super::bearer::{self, Credentials};
use super::claims::{self, Principal, gone};
use super::decision::Trace;
use super::facts::{Facts, KeysAsked, Need, NotAdmitted};
use super::foreign::Quoted;
use super::head::RequestHead;
use super::registration::Entry;
use super::rejection::{Reason, Rejection};
use super::scope::{Granted, NameId, Vocabulary};
use super::snapshot::{Issuer, Snapshot, TokenRequirement};
use super::tenant;
use super::time::UnixSeconds;
use super::token::{AttributedToken, DecodedToken, SignatureCheck, UnverifiedToken};

/// Whether the bearer of the request's token may do what `requirement` guards. Writes into `trace` how far it came.
///
/// # Errors
/// The first step that fails, or a [`Need`] if a fact is missing.
pub fn admit(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    head: &RequestHead<'_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
    trace: &mut Trace,
) -> Result<(), NotAdmitted> {
    let bearer = bearer::credentials(head.headers, snapshot.token_bytes_max, facts.memo.hasher())?;
    let (principal, entry) = principal(snapshot, requirement, &bearer, facts, now, trace)?;
    let principal: &Principal = trace.principal.insert(principal);
    principal.check(snapshot, requirement, entry, now)?;
    trace.authenticated = true;
    principal.authorize(snapshot, requirement)?;
    trace.tenant = tenant::settle(snapshot, requirement, principal, head.headers)?;
    Ok(())
}

/// The principal of a token whose signature is good: remembered, or worked out now. With it what is known of its client, so
/// that it is looked up once.
fn principal<'s>(
    snapshot: &'s Snapshot,
    requirement: &TokenRequirement,
    bearer: &Credentials<'_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
    trace: &mut Trace,
) -> Result<(Arc<Principal>, Entry<'s>), NotAdmitted> {
    let mut known = facts.memo.recall(bearer.digest()).filter(|known| known.token() == bearer.digest());
    if let Some(same) = known.take_if(|known| known.snapshot == snapshot.number) {
        let entry = same.entry(snapshot);
        // Of a client that has changed since, what the token may do is worked out anew.
        if same.registration.is_of(entry) {
            trace.signature = Some(SignatureCheck::Remembered);
            return Ok((same, entry));
        }
        known = Some(same);
    }
    let decoded = DecodedToken::of(&bearer.token()?)?;
    let token = UnverifiedToken::parse(&decoded)?.attribute(&snapshot.issuers)?;
    settle_keys(snapshot, requirement, &token, facts, now, trace)?;
    let (verified, check) = token.verify(known.as_deref().map(|known| &known.vouched))?;
    let principal = Arc::new(Principal::new(snapshot, verified)?);
    facts.memo.remember(&principal);
    trace.signature = Some(check);
    let entry = principal.entry(snapshot);
    Ok((principal, entry))
}

/// Sees to it that a token is not refused for the lack of a key that its issuer has by now.
fn settle_keys(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    token: &AttributedToken<'_, '_>,
    facts: &Facts<'_>,
    now: UnixSeconds,
    trace: &mut Trace,
) -> Result<(), NotAdmitted> {
    let (id, issuer) = token.issuer();
    // A 401 either way: clients that go on with expired tokens of a key that is gone must not use up the fetches that a new
    // key needs. Where there are no keys at all the answer is a 503, and any key changes it.
    let is_the_same = || !issuer.keys.is_empty() && claims::is_refused_anyway(snapshot, requirement, token, now);
    if !token.lacks_key() || is_the_same() {
        return Ok(());
    }
    trace.key_missing = Some(id);
    match facts.keys {
        KeysAsked::NotYet => Err(NotAdmitted::Undecided(Need::Keys(id))),
        KeysAsked::Already => Ok(()),
        KeysAsked::TooMany => {
            let detail = format!("too many requests wait for the keys of issuer {}", issuer.name);
            Err(Rejection::new(Reason::Overloaded, detail).into())
        }
    }
}

impl Principal {
    /// Whether the token is valid, here and now: `typ`, issuer of the route, `aud`, times, kind, binding, client, and the
    /// client's registration.
    ///
    /// # Errors
    /// The first check that fails; each is a 401 but `registry_unavailable`.
    pub fn authenticate(
        &self,
        snapshot: &Snapshot,
        requirement: &TokenRequirement,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        self.check(snapshot, requirement, self.entry(snapshot), now)
    }

    fn check(
        &self,
        snapshot: &Snapshot,
        requirement: &TokenRequirement,
        entry: Entry<'_>,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        self.standing.check(self.issuer_in(snapshot)?, requirement, now)?;
        let clients = snapshot.issuers.clients_of(self.issuer).ok_or_else(gone)?;
        self.registration.check(clients, entry, self.client_id.as_deref(), now)
    }

    /// Whether the bearer of the token may do what the route guards. In this order: client, all scopes, one of the scopes,
    /// one of the roles.
    ///
    /// # Errors
    /// The first check that fails; each is a 403.
    pub fn authorize(&self, snapshot: &Snapshot, requirement: &TokenRequirement) -> Result<(), Rejection> {
        self.check_route_client(requirement)?;
        if let Some(scope) = requirement.scopes.iter().find(|scope| !self.scopes.contains(**scope)) {
            return Err(lacks(Reason::ScopeMissing, "scope", &snapshot.scopes, &[*scope]));
        }
        one_of(&self.scopes, &requirement.any_scope)
            .map_err(|names| lacks(Reason::ScopeMissing, "scope", &snapshot.scopes, names))?;
        one_of(&self.roles, &requirement.roles)
            .map_err(|names| lacks(Reason::RoleMissing, "role", &snapshot.role_names, names))
    }

    /// The principal's issuer. What was worked out under one snapshot says nothing under another.
    fn issuer_in<'a>(&self, snapshot: &'a Snapshot) -> Result<&'a Issuer, Rejection> {
        let issuer = snapshot.issuers.get(self.issuer).filter(|_| self.snapshot == snapshot.number);
        issuer.ok_or_else(gone)
    }

    fn check_route_client(&self, requirement: &TokenRequirement) -> Result<(), Rejection> {
        let Some(clients) = &requirement.clients else { return Ok(()) };
        match &self.client_id {
            Some(id) if clients.contains(id) => Ok(()),
            Some(id) => Err(not_a_client(format!("client {} is not one of the route's", Quoted(id)))),
            None => Err(not_a_client("the token names no client and the route has a list of them".into())),
        }
    }
}

/// `Err` with the names asked for, if there are any and none of them is granted.
fn one_of<'a>(granted: &Granted, names: &'a [NameId]) -> Result<(), &'a [NameId]> {
    let ok = names.is_empty() || names.iter().any(|name| granted.contains(*name));
    if ok { Ok(()) } else { Err(names) }
}

fn lacks(reason: Reason, what: &str, vocabulary: &Vocabulary, names: &[NameId]) -> Rejection {
    let names: Vec<&str> = names.iter().map(|name| vocabulary.name(*name)).collect();
    Rejection::new(reason, format!("the token lacks {what} {}", names.join(" or ")))
}

fn not_a_client(detail: String) -> Rejection {
    Rejection::new(Reason::ClientForbidden, detail)
}
