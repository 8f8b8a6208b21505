//! What a principal may do on a route, at a moment: steps 6 and 7 of a request.
//!
//! A request that passes allocates nothing here.

use super::claims::{Principal, gone};
use super::foreign::Quoted;
use super::rejection::{Reason, Rejection};
use super::scope::{Granted, NameId, Vocabulary};
use super::snapshot::{Issuer, Snapshot, TokenRequirement};
use super::time::UnixSeconds;

impl Principal {
    /// Whether the token is valid, here and now: `typ`, issuer of the route, `aud`, times, kind, binding, client.
    ///
    /// # Errors
    /// The first check that fails; each is a 401.
    pub fn authenticate(
        &self,
        snapshot: &Snapshot,
        requirement: &TokenRequirement,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        self.standing.check(self.issuer_in(snapshot)?, requirement, now)
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
