//! What a reload swaps: everything that came from the configuration, in one value.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::config::{Config, Limits, Upstream};
use crate::core::keyset::Keyset;
use crate::core::snapshot::{IssuerId, Snapshot};
use crate::upstream::Health;

/// One configuration and what belongs to it. Immutable: a request that began under it ends under it.
#[derive(Debug)]
pub struct Generation {
    /// What decisions are made from.
    pub snapshot: Arc<Snapshot>,
    /// The backends, in the order of the snapshot's.
    pub upstreams: Vec<Upstream>,
    /// What is known of them, shared by all workers.
    pub health: Arc<Health>,
    /// Bounds of everything a client can make grow.
    pub limits: Limits,
}

impl Generation {
    /// The first one.
    #[must_use]
    pub fn first(config: Config) -> Self {
        let health = Health::new(&config.upstreams);
        Self { snapshot: Arc::new(config.snapshot), upstreams: config.upstreams, health, limits: config.limits }
    }

    /// The one after this: the same configuration, and other keys for one of its issuers.
    #[must_use]
    pub fn with_keys(&self, issuer: IssuerId, keys: Arc<Keyset>) -> Self {
        Self {
            snapshot: Arc::new(self.snapshot.with_keys(issuer, keys)),
            upstreams: self.upstreams.clone(),
            health: Arc::clone(&self.health),
            limits: self.limits.clone(),
        }
    }

    /// The one after this. What is known of backends that are still the same is kept.
    #[must_use]
    pub fn next(&self, config: Config) -> Self {
        let health = Health::succeeding(&config.upstreams, &self.upstreams, &self.health);
        let snapshot = Snapshot { number: self.snapshot.number + 1, ..config.snapshot };
        Self { snapshot: Arc::new(snapshot), upstreams: config.upstreams, health, limits: config.limits }
    }
}

/// The generation in force. Swapped by one writer ([`super::reload`]), read by every worker.
#[derive(Debug)]
pub struct Live(ArcSwap<Generation>);

impl Live {
    /// Starts with `first`.
    #[must_use]
    pub fn new(first: Generation) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The generation in force, to look at.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Generation>> {
        self.0.load()
    }

    pub(super) fn swap(&self, next: Generation) {
        self.0.store(Arc::new(next));
    }
}
