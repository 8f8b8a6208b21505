//! What a reload swaps: everything that came from the configuration, in one value.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use crate::config::{Config, Limits, Listener, Upstream};
use crate::core::keyset::Keyset;
use crate::core::snapshot::{IssuerId, Snapshot};
use crate::net::tls::ServerTls;
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
    /// What each listener shows its clients, in the order of the configuration; `None` is no TLS.
    pub listeners_tls: Box<[Option<ServerTls>]>,
}

impl Generation {
    /// The first one.
    #[must_use]
    pub fn first(config: Config) -> Self {
        Self {
            health: Health::new(&config.upstreams),
            snapshot: Arc::new(config.snapshot),
            upstreams: config.upstreams,
            limits: config.limits,
            listeners_tls: config.listeners.into_iter().map(|listener| listener.tls).collect(),
        }
    }

    /// The one after this: the same configuration, and other keys for one of its issuers.
    #[must_use]
    pub fn with_keys(&self, issuer: IssuerId, keys: Arc<Keyset>) -> Self {
        Self {
            snapshot: Arc::new(self.snapshot.with_keys(issuer, keys)),
            upstreams: self.upstreams.clone(),
            health: Arc::clone(&self.health),
            limits: self.limits.clone(),
            listeners_tls: self.listeners_tls.clone(),
        }
    }

    /// The one after this. What is known of backends that are still the same is kept, and so is what lets clients resume
    /// their TLS sessions.
    #[must_use]
    pub fn next(&self, config: Config) -> Self {
        let health = Health::succeeding(&config.upstreams, &self.upstreams, &self.health);
        let snapshot = Snapshot { number: self.snapshot.number + 1, ..config.snapshot };
        Self {
            health,
            snapshot: Arc::new(snapshot),
            upstreams: config.upstreams,
            limits: config.limits,
            listeners_tls: succeeding(config.listeners, &self.listeners_tls),
        }
    }
}

/// What `listeners` show from now on. Where that is what they showed before it is the very same object, whose session
/// tickets stay valid.
fn succeeding(listeners: Vec<Listener>, before: &[Option<ServerTls>]) -> Box<[Option<ServerTls>]> {
    let before = before.iter().chain(std::iter::repeat(&None));
    let listeners = listeners.into_iter().zip(before);
    listeners.map(|(listener, before)| if listener.tls == *before { before.clone() } else { listener.tls }).collect()
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
