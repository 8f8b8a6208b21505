//! What a reload swaps: everything that came from the configuration, in one value.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::keys::{self, InForce, KeyOrigin};
use super::registry::{self, Followed, Mirror, Source};
use crate::config::{Authority, Authz, AuthzTrust, Config, Limits, Listener, Upstream};
use crate::core::keyset::Keyset;
use crate::core::registry::Availability;
use crate::core::snapshot::{IssuerId, Snapshot};
use crate::net::tls::ServerTls;
use crate::upstream::Health;

/// One configuration and what belongs to it. Immutable: a request that began under it ends under it. What is large in it is
/// shared by those that differ only in keys and clients.
#[derive(Debug, Clone)]
pub struct Generation {
    /// What decisions are made from.
    pub snapshot: Arc<Snapshot>,
    /// The backends, in the order of the snapshot's.
    pub upstreams: Arc<[Upstream]>,
    /// What is known of them, shared by all workers.
    pub health: Arc<Health>,
    /// Bounds of everything a client can make grow.
    pub limits: Arc<Limits>,
    /// What each listener shows its clients, in the order of the configuration; `None` is no TLS.
    pub listeners_tls: Arc<[Option<ServerTls>]>,
    /// Which other proxies may ask for decisions, and what they are shown.
    pub authz: Arc<AuthzTrust>,
    /// Where the keys come from and what is known of them, in the order of the snapshot's issuers.
    pub key_origins: Arc<[KeyOrigin]>,
    /// Whose client registry is followed for each issuer, and what it has told, in the same order.
    pub mirrors: Arc<[Option<Followed>]>,
    /// The authority, if there is one.
    pub authority: Option<Arc<Authority>>,
    /// Where the last good keys are kept.
    pub state_dir: Option<PathBuf>,
}

/// A configuration that is ready to follow a generation, with the last good keys on disk where they are wanted.
#[derive(Debug)]
pub struct Prepared {
    pub(super) config: Config,
    key_origins: Arc<[KeyOrigin]>,
}

impl Generation {
    /// The first one.
    #[must_use]
    pub fn first(mut config: Config) -> Self {
        let key_origins = keys::complete(&mut config, None);
        let mirrors = registry::follow(&config, &[]);
        let issuers = registry::with_clients(&config.snapshot.issuers, &mirrors);
        let health = Health::new(&config.upstreams);
        Self {
            snapshot: Arc::new(Snapshot { issuers, ..config.snapshot }),
            mirrors,
            upstreams: config.upstreams.into(),
            health,
            limits: config.limits.into(),
            key_origins,
            authority: config.authority,
            state_dir: config.state_dir,
            listeners_tls: config.listeners.into_iter().map(|listener| listener.tls).collect(),
            authz: Arc::new(config.authz.map(|authz| authz.trust).unwrap_or_default()),
        }
    }

    /// The one after this: the same configuration, and other keys for one of its issuers.
    #[must_use]
    pub fn with_keys(&self, issuer: IssuerId, keys: Arc<Keyset>) -> Self {
        Self { snapshot: Arc::new(self.snapshot.with_keys(issuer, keys)), ..self.clone() }
    }

    /// The one after this: the same configuration, and what a registry says now; `None` if that is not followed. The number
    /// of the snapshot stays, and so does all that was worked out for clients that have not changed.
    #[must_use]
    pub fn with_mirror(&self, source: &Source, mirror: Arc<Mirror>, availability: Availability) -> Option<Self> {
        let mut mirrors = self.mirrors.to_vec();
        let followed = mirrors.iter_mut().flatten().find(|followed| followed.source == *source)?;
        (followed.mirror, followed.availability) = (mirror, availability);
        let issuers = registry::with_clients(&self.snapshot.issuers, &mirrors);
        let snapshot = Snapshot { issuers, ..Snapshot::clone(&self.snapshot) };
        Some(Self { snapshot: Arc::new(snapshot), mirrors: mirrors.into(), ..self.clone() })
    }

    /// Whether any client registry is followed.
    #[must_use]
    pub fn follows_registries(&self) -> bool {
        self.mirrors.iter().any(Option::is_some)
    }

    /// The authority's own registry.
    #[must_use]
    pub fn own_registry(&self) -> Option<&Followed> {
        self.mirrors.iter().flatten().find(|followed| followed.source == Source::Authority)
    }

    /// Whether it is of the same load as `other`, and differs from it at most in keys and clients.
    #[must_use]
    pub fn has_configuration_of(&self, other: &Self) -> bool {
        // Each load makes its own.
        Arc::ptr_eq(&self.limits, &other.limits)
    }

    /// Makes `config` ready for [`Self::next`]. That reads files, which may take long; keys and clients may change meanwhile,
    /// but nothing else.
    #[must_use]
    pub fn prepare(&self, mut config: Config) -> Prepared {
        let key_origins = keys::complete(&mut config, Some(self.keys()));
        Prepared { config, key_origins }
    }

    /// The one after this. What is known of backends that are still the same is kept, so are keys and client registries whose
    /// source is, and what lets clients resume their TLS sessions.
    #[must_use]
    pub fn next(&self, prepared: Prepared) -> Self {
        let Prepared { config, key_origins } = prepared;
        let mirrors = registry::follow(&config, &self.mirrors);
        let issuers = keys::newest(config.snapshot.issuers, &key_origins, self.keys());
        let issuers = registry::with_clients(&issuers, &mirrors);
        let health = Health::succeeding(&config.upstreams, &self.upstreams, &self.health);
        let snapshot = Snapshot { number: self.snapshot.number + 1, issuers, ..config.snapshot };
        Self {
            snapshot: Arc::new(snapshot),
            upstreams: config.upstreams.into(),
            health,
            limits: config.limits.into(),
            key_origins,
            mirrors,
            authority: config.authority,
            state_dir: config.state_dir,
            listeners_tls: succeeding(config.listeners, &self.listeners_tls),
            authz: authz_succeeding(config.authz, &self.authz),
        }
    }

    fn keys(&self) -> InForce<'_> {
        InForce { snapshot: &self.snapshot, origins: &self.key_origins }
    }
}

/// What `listeners` show from now on. Where that is what they showed before it is the very same object, whose session
/// tickets stay valid.
fn succeeding(listeners: Vec<Listener>, before: &[Option<ServerTls>]) -> Arc<[Option<ServerTls>]> {
    let before = before.iter().chain(std::iter::repeat(&None));
    let listeners = listeners.into_iter().zip(before);
    listeners.map(|(listener, before)| if listener.tls == *before { before.clone() } else { listener.tls }).collect()
}

/// The same for `authz`.
fn authz_succeeding(authz: Option<Authz>, before: &Arc<AuthzTrust>) -> Arc<AuthzTrust> {
    let trust = authz.map(|authz| authz.trust).unwrap_or_default();
    if trust == **before { Arc::clone(before) } else { Arc::new(trust) }
}

/// The generation in force. Swapped by one writer ([`super::reload`]), read by every worker.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Generation>,
    /// Told of each swap.
    swapped: watch::Sender<()>,
}

impl Live {
    /// Starts with `first`.
    #[must_use]
    pub fn new(first: Generation) -> Self {
        Self { current: ArcSwap::from_pointee(first), swapped: watch::Sender::new(()) }
    }

    /// The generation in force, to look at.
    #[must_use]
    pub fn load(&self) -> Guard<Arc<Generation>> {
        self.current.load()
    }

    /// Told of each swap from now on.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.swapped.subscribe()
    }

    /// Waits until a generation is in force for which `wanted` holds.
    pub async fn wait_for(&self, wanted: impl Fn(&Generation) -> bool) {
        // The sender is ours, so that there is no end to wait for but this one.
        let _ = self.swapped.subscribe().wait_for(|()| wanted(&self.load())).await;
    }

    pub(super) fn swap(&self, next: Generation) {
        self.current.store(Arc::new(next));
        self.swapped.send_replace(());
    }
}
