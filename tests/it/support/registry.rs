//! Registered clients, made by hand.

use std::sync::Arc;

use sidegate::core::registry::{Availability, Clients, Registered, Registry};
use sidegate::core::time::UnixSeconds;

/// A client that was created by change `number` and expires at `expires`, with these scopes and nothing else.
pub(crate) fn client(number: u64, expires: i64, scopes: &[&str]) -> Registered {
    Registered {
        version: number,
        generation: number,
        is_revoked: false,
        expires: UnixSeconds(expires),
        scopes: names(scopes),
        roles: Box::default(),
        tenants: Box::default(),
    }
}

pub(crate) fn names(names: &[&str]) -> Box<[Box<str>]> {
    names.iter().map(|name| Box::from(*name)).collect()
}

/// A registry that can be relied on, of these clients.
pub(crate) fn registry(clients: &[(&str, Registered)]) -> Registry {
    let clients = clients.iter().map(|(id, client)| (Box::from(*id), Arc::new(client.clone()))).collect();
    Registry { clients, availability: Availability::Current, ..Registry::default() }
}

/// An issuer's clients as that registry says.
pub(crate) fn registered(registry: Registry) -> Arc<Clients> {
    Arc::new(Clients { registry: Some(registry), ..Clients::default() })
}
