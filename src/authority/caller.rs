//! Who changes App Clients, and what he may touch and give away.

use super::client::Client;
use super::rules::{self, Denied, Rules};
use super::store::Actor;

/// Who asks for something, and what he may touch.
#[derive(Debug, Clone)]
pub struct Caller {
    /// For the audit log.
    pub who: Actor,
    /// Only clients that have tenants, all of them among these.
    pub within_tenants: Option<Box<[Box<str>]>>,
    /// Of Sidegate's own scopes only these may be handed on; `None` is all. Whoever could hand on others, or get hold of the
    /// credentials of a client that has them, would have them.
    pub control_scopes: Option<Box<[Box<str>]>>,
}

impl Caller {
    /// Whoever may touch every client.
    #[must_use]
    pub fn unlimited(who: Actor) -> Self {
        Self { who, within_tenants: None, control_scopes: None }
    }

    /// Whether he may see and change a client with these tenants.
    pub(super) fn may_touch(&self, tenants: &[Box<str>]) -> bool {
        let within = |own: &[Box<str>]| !tenants.is_empty() && tenants.iter().all(|tenant| own.contains(tenant));
        self.within_tenants.as_deref().is_none_or(within)
    }

    /// Whether he may give a client these tenants.
    pub(super) fn check_tenants(&self, tenants: &[Box<str>]) -> Result<(), Denied> {
        if self.may_touch(tenants) {
            return Ok(());
        }
        Err(rules::invalid("tenants", "at least one, and only such as you have yourself"))
    }

    /// Whether he may see what is no client's of any tenant.
    pub(super) fn check_unlimited(&self) -> Result<(), Denied> {
        if self.within_tenants.is_none() { Ok(()) } else { Err(Denied::TenantsOnly) }
    }

    /// Whether he may have the say over what this client can do to Sidegate itself.
    pub(super) fn check_control(&self, rules: &Rules, client: &Client) -> Result<(), Denied> {
        let Some(held) = &self.control_scopes else { return Ok(()) };
        let scopes =
            rules.control_scopes(client).into_iter().filter(|scope| !held.iter().any(|held| **held == **scope));
        let lacking: Vec<Box<str>> = scopes.map(Box::from).collect();
        if lacking.is_empty() { Ok(()) } else { Err(Denied::Beyond(lacking)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::time::UnixSeconds;

    const NOW: UnixSeconds = UnixSeconds(1000);

    #[test]
    fn a_caller_with_tenants_touches_only_clients_of_those() {
        let who = Actor("client:a".into());
        let within_tenants = Some(["t1".into(), "t2".into()].into());
        let caller = Caller { within_tenants, ..Caller::unlimited(who.clone()) };
        for (tenants, touches) in [(&["t1"][..], true), (&["t1", "t2"], true), (&["t1", "t3"], false), (&[], false)] {
            let tenants: Vec<Box<str>> = tenants.iter().map(|tenant| Box::from(*tenant)).collect();
            assert_eq!(caller.may_touch(&tenants), touches, "{tenants:?}");
            assert!(Caller::unlimited(who.clone()).may_touch(&tenants));
        }
    }

    #[test]
    fn of_sidegates_own_scopes_only_those_held_are_handed_on() {
        let rules = rules::tests::rules("");
        let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        let held = Some(["sidegate.clients:read".into()].into());
        let caller = Caller { control_scopes: held, ..Caller::unlimited(Actor("client:a".into())) };
        for (scopes, roles, lacking) in [
            (&["users:read"][..], &["editor"][..], ""),
            (&["sidegate.clients:read"], &[], ""),
            (&["sidegate.admin", "sidegate.clients:read"], &[], "sidegate.admin"),
            (&["users:read"], &["keeper"], "sidegate.clients:write"),
            (&[], &["a role that is gone"], ""),
        ] {
            let client = Client { scopes: boxed(scopes), roles: boxed(roles), ..client() };
            let expected = if lacking.is_empty() { Ok(()) } else { Err(Denied::Beyond(vec![lacking.into()])) };
            assert_eq!(caller.check_control(&rules, &client), expected, "{scopes:?} {roles:?}");
            assert_eq!(Caller::unlimited(caller.who.clone()).check_control(&rules, &client), Ok(()));
        }
    }

    fn client() -> Client {
        Client {
            id: "a".into(),
            name: "a".into(),
            description: "".into(),
            notes: "".into(),
            scopes: [].into(),
            roles: [].into(),
            tenants: [].into(),
            secrets: vec![],
            jwks: None,
            is_revoked: false,
            created_at: NOW,
            expires_at: NOW,
            last_used_at: None,
            generation: 1,
            version: 1,
        }
    }
}
