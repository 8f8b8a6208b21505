//! Who is let in: the bearer of a token of the authority that was made for Sidegate itself, and has a scope for it.

use super::super::Call;
use super::problem::Problem;
use super::route::Access;
use crate::authority::caller::Caller;
use crate::authority::store::Actor;
use crate::clock;
use crate::config::Authority;
use crate::config::authority::{CLIENTS_READ, CLIENTS_WRITE, CONTROL_SCOPE_PREFIX};
use crate::core::claims::Principal;
use crate::core::decision::Trace;
use crate::core::head::RequestHead;
use crate::core::rejection::{Reason, Rejection};
use crate::core::scope::NameId;
use crate::core::snapshot::{ErrorFormat, ErrorStyle, Identity, Snapshot, TokenRequirement};
use crate::core::{self, Facts, KeysAsked, NoMemo};
use crate::fronts::authority::control;
use crate::live::state::Generation;

/// Whoever was let in, and how that came about.
pub(super) struct Admitted {
    pub(super) snapshot: Snapshot,
    pub(super) trace: Trace,
    pub(super) caller: Caller,
}

/// Whoever asks, if he may.
pub(super) fn admit(
    live: &Generation,
    settings: &Authority,
    call: &Call<'_>,
    access: Access,
) -> Result<Admitted, Problem> {
    let snapshot = snapshot(live, settings).ok_or_else(|| Problem::internal("the authority has no issuer"))?;
    let required = requirement(&snapshot, access);
    let head = RequestHead { method: call.method, target: call.target, headers: call.headers.into() };
    // As for the other endpoints: operators' calls can be made again.
    let facts = Facts { memo: &NoMemo, keys: KeysAsked::Already };
    let mut trace = Trace::default();
    let admitted = core::admit(&snapshot, &required, &head, &facts, clock::now(), &mut trace);
    let admitted = admitted.map_err(core::NotAdmitted::rejection).and_then(|()| caller(trace.principal.as_deref()));
    match admitted {
        Ok(caller) => Ok(Admitted { snapshot, trace, caller }),
        Err(rejection) => {
            let Rejection { reason, detail } = &rejection;
            tracing::warn!(peer = %call.peer, %reason, %detail, "an admin request was refused");
            // What is asked for is the lesser scope: the greater one is not needed.
            let needed = TokenRequirement { scopes: named(&snapshot, &[scope(access)]), ..TokenRequirement::default() };
            Err(Problem::refused(&snapshot, &rejection, &trace, &needed, call))
        }
    }
}

/// The snapshot to ask the core under. How refusals look there, and what `resource` and `cors` say, is about the services
/// behind the gateway; so is the tenant that a request is for: whoever is held to several sees the clients of all of them.
fn snapshot(live: &Generation, settings: &Authority) -> Option<Snapshot> {
    let control = control(&live.snapshot, settings)?;
    Some(Snapshot {
        errors: ErrorStyle { format: ErrorFormat::Problem, realm: control.errors.realm.clone() },
        identity: Identity { tenant: None, ..control.identity.clone() },
        resource: None,
        cors: None,
        ..control
    })
}

fn scope(access: Access) -> &'static str {
    match access {
        Access::Read => CLIENTS_READ,
        Access::Write => CLIENTS_WRITE,
    }
}

fn requirement(snapshot: &Snapshot, access: Access) -> TokenRequirement {
    let any_scope = match access {
        Access::Read => named(snapshot, &[CLIENTS_READ, CLIENTS_WRITE]),
        Access::Write => named(snapshot, &[CLIENTS_WRITE]),
    };
    TokenRequirement { any_scope, tenant_required: Some(false), ..TokenRequirement::default() }
}

fn named(snapshot: &Snapshot, scopes: &[&str]) -> Box<[NameId]> {
    scopes.iter().filter_map(|scope| snapshot.scopes.id(scope)).collect()
}

/// What the bearer of a token may touch, and hand on.
fn caller(principal: Option<&Principal>) -> Result<Caller, Rejection> {
    let unknown = || Rejection::new(Reason::ClientUnknown, "the token names no client");
    let principal = principal.ok_or_else(unknown)?;
    let client_id = principal.client_id.as_deref().ok_or_else(unknown)?;
    let holds = |scope: &str| principal.scope_names.iter().any(|name| name == scope);
    // The names again, and not only the numbers that the core has compared: nothing would be asked for by a vocabulary
    // without them.
    if !holds(CLIENTS_READ) && !holds(CLIENTS_WRITE) {
        return Err(Rejection::new(Reason::ScopeMissing, format!("the token lacks scope {CLIENTS_READ}")));
    }
    let mut control_scopes: Vec<Box<str>> =
        principal.scope_names.iter().filter(|name| name.starts_with(CONTROL_SCOPE_PREFIX)).map(Box::from).collect();
    if holds(CLIENTS_WRITE) {
        control_scopes.push(CLIENTS_READ.into());
    }
    let tenants = principal.tenant_names();
    Ok(Caller {
        who: Actor(format!("client:{client_id}").into()),
        within_tenants: tenants.map(|tenants| tenants.into_iter().map(Box::from).collect()),
        control_scopes: Some(control_scopes.into()),
    })
}
