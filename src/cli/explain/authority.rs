//! What a running gateway knows of our own authority: its public keys and its clients, read from its storage.

use std::sync::Arc;

use anyhow::{Context, bail};

use super::super::storage;
use crate::authority::keyring;
use crate::authority::store::{Changes, Store};
use crate::config::authority::Authority;
use crate::config::{Config, RegistrySource};
use crate::core::registry::{Availability, Clients};
use crate::core::snapshot::Snapshot;
use crate::live::registry::Mirror;

/// The snapshot with what the storage says now.
pub(super) fn complete(config: &Config, authority: &Authority, snapshot: &Snapshot) -> anyhow::Result<Snapshot> {
    if let Some(path) = storage::missing(&authority.storage) {
        bail!("the authority has no storage as yet: {} is not there", path.display());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (keys, changes) = runtime.block_on(async {
        let store = Store::open(&authority.storage).await?;
        anyhow::Ok((store.keys().await?, store.changes(0).await?))
    })?;
    let keys = Arc::new(keyring::public_keys(&keys).context("the authority's keys cannot be read")?);
    let mirror = mirror(changes);
    let mut next = snapshot.clone();
    for ((id, issuer), source) in snapshot.issuers.with_ids().zip(&config.registries) {
        let own = *source == RegistrySource::Authority;
        let registry = own.then(|| mirror.registry(Availability::Current));
        let refused = mirror.refused(&issuer.iss).cloned().unwrap_or_default();
        next.issuers = next.issuers.with_clients(id, Arc::new(Clients { registry, refused, awaits_refused: false }));
        if own {
            next.issuers = next.issuers.with_keys(id, Arc::clone(&keys));
        }
    }
    Ok(next)
}

fn mirror(changes: Changes) -> Mirror {
    let mut mirror = Mirror::default();
    for (number, change) in changes.items {
        mirror.apply(number, change);
    }
    mirror.complete();
    mirror
}
