//! Reloading: the sole writer of the generation in force.
//!
//! The new one is built whole before anything is touched, and swapped in one step. A configuration with a problem changes
//! nothing and is reported wherever an operator looks: in the answer, in `/status`, in the metrics and in the log.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::keys::{KeyOrigin, KeyState};
use super::registry::{Mirror, Source};
use super::state::{Generation, Live};
use super::watch::Watcher;
use crate::config::authority::Storage;
use crate::config::{self, AuthzAddress, Config, Telemetry};
use crate::core::keyset::Keyset;
use crate::core::registry::Availability;
use crate::core::snapshot::IssuerId;

/// Changes that may wait. Reloads are all the same, so one would do; more only keep their callers' answers apart.
pub const WAITING_MAX: usize = 16;

/// Asks for a change of what is in force.
#[derive(Debug)]
pub enum Request {
    /// A reload. Whoever wants to know how it went leaves a channel.
    Reload(Option<oneshot::Sender<Result<Reloaded, String>>>),
    /// Other keys for an issuer.
    Keys(NewKeys),
    /// What a client registry says now.
    Registry(NewRegistry),
}

/// What a client registry says.
#[derive(Debug)]
pub struct NewRegistry {
    /// Whose it is.
    pub source: Source,
    /// All that it has told.
    pub mirror: Arc<Mirror>,
    /// Whether that can be relied on.
    pub availability: Availability,
    /// Told whether it is in force: not if the configuration does not follow that registry any more.
    pub done: Option<oneshot::Sender<bool>>,
}

/// Keys that were fetched.
#[derive(Debug)]
pub struct NewKeys {
    /// Whose they are: the origin of the generation that was in force when the fetch began.
    pub origin: Arc<KeyState>,
    /// The keys; none, if the last good ones have become too old.
    pub keys: Arc<Keyset>,
    /// Told whether they are in force: not if the configuration has another origin by now.
    pub done: oneshot::Sender<bool>,
}

/// What a reload brought.
#[derive(Debug, Clone)]
pub struct Reloaded {
    /// Number of the new snapshot.
    pub snapshot: u64,
    /// SHA-256 of the configuration file, in hex.
    pub config_hash: String,
    /// Choices that open something.
    pub warnings: Vec<String>,
}

/// The part of a configuration that only a start can change: what sockets, threads and log files are made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    listeners: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    health: Option<SocketAddr>,
    authz_grpc: Option<AuthzAddress>,
    authz_http: Option<AuthzAddress>,
    workers: Option<NonZeroUsize>,
    telemetry: Telemetry,
    authority: Option<FixedAuthority>,
}

/// The part of `authority` that only a start can change: what it keeps and where, and by which name others know it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FixedAuthority {
    /// Without a password: a new one is no other storage.
    storage: Storage,
    issuer: Box<str>,
    max_stale: Duration,
}

impl Fixed {
    /// That part of `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            listeners: config.listeners.iter().map(|listener| listener.address).collect(),
            admin: config.admin,
            health: config.health,
            authz_grpc: config.authz.as_ref().and_then(|authz| authz.grpc.clone()),
            authz_http: config.authz.as_ref().and_then(|authz| authz.http.clone()),
            workers: config.workers,
            telemetry: config.telemetry.clone(),
            authority: config.authority.as_deref().map(|authority| FixedAuthority {
                storage: authority.storage.without_password(),
                issuer: authority.issuer.clone(),
                max_stale: authority.max_stale,
            }),
        }
    }

    /// Whether other proxies may ask.
    #[must_use]
    pub fn has_authz(&self) -> bool {
        self.authz_grpc.is_some() || self.authz_http.is_some()
    }

    /// The sections in which `other` differs.
    fn changed(&self, other: &Self) -> Vec<&'static str> {
        // Taken apart, so that a new field cannot be forgotten here.
        let Self { listeners, admin, health, authz_grpc, authz_http, workers, telemetry, authority } = self;
        let (is_other, storage, issuer, max_stale) = match (authority, &other.authority) {
            (Some(FixedAuthority { storage, issuer, max_stale }), Some(other)) => {
                (false, *storage != other.storage, *issuer != other.issuer, *max_stale != other.max_stale)
            }
            (one, other) => (one.is_some() != other.is_some(), false, false, false),
        };
        let sections = [
            ("authority", is_other),
            ("authority.storage", storage),
            ("authority.issuer", issuer),
            ("authority.max_stale", max_stale),
            ("listeners", *listeners != other.listeners),
            ("admin.address", *admin != other.admin),
            ("health.address", *health != other.health),
            ("authz.grpc", *authz_grpc != other.authz_grpc),
            ("authz.http", *authz_http != other.authz_http),
            ("workers", *workers != other.workers),
            ("telemetry", *telemetry != other.telemetry),
        ];
        sections.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
    }
}

/// The files that `config`, which is what the file at `path` says, is made of.
#[must_use]
pub fn watched(path: &Path, config: &Config) -> Vec<PathBuf> {
    std::iter::once(path.to_owned()).chain(config.files.iter().cloned()).collect()
}

/// Reloads the configuration when it is asked to.
pub struct Reloader {
    path: PathBuf,
    fixed: Fixed,
    live: Arc<Live>,
    watcher: Watcher,
    /// Told of each outcome, before whoever asked is.
    report: Box<Report>,
}

type Report = dyn Fn(&Result<Reloaded, String>) + Send + Sync;

impl Reloader {
    /// For the configuration file at `path`, of which `fixed` is in force until the process ends. `watcher` watches the
    /// files of [`watched`].
    pub fn new(
        path: PathBuf,
        fixed: Fixed,
        live: Arc<Live>,
        watcher: Watcher,
        report: impl Fn(&Result<Reloaded, String>) + Send + Sync + 'static,
    ) -> Self {
        Self { path, fixed, live, watcher, report: Box::new(report) }
    }

    /// Serves requests, one at a time, until nobody is left to ask.
    pub async fn run(self, mut requests: mpsc::Receiver<Request>) {
        let reloader = Arc::new(self);
        while let Some(request) = requests.recv().await {
            let reply = match request {
                Request::Reload(reply) => reply,
                Request::Keys(new) => {
                    reloader.live.put_in_force(new);
                    continue;
                }
                Request::Registry(new) => {
                    reloader.live.put_registry_in_force(new);
                    continue;
                }
            };
            let working = Arc::clone(&reloader);
            // Keys are parsed and files are read: not on the thread that answers health checks.
            let outcome = tokio::task::spawn_blocking(move || working.reload()).await;
            let outcome = outcome.unwrap_or_else(|_| Err("the reload broke off".to_owned()));
            (reloader.report)(&outcome);
            if let Some(reply) = reply {
                let _ = reply.send(outcome);
            }
        }
    }

    fn reload(&self) -> Result<Reloaded, String> {
        // What is read now need not be noticed; whatever happens to the files from here on has to be.
        self.watcher.about_to_read();
        let config = config::load(&self.path, &|name| std::env::var(name).ok()).map_err(|problems| {
            let error = problems.render(false).trim_end().to_owned();
            // A key set that comes after the configuration that names it has to be noticed.
            self.watcher.watch_too(problems.files);
            error
        })?;
        let changed = self.fixed.changed(&Fixed::of(&config));
        if !changed.is_empty() {
            return Err(format!(
                "{} changed: that needs a restart, and nothing of the file is applied",
                changed.join(", ")
            ));
        }
        let (config_hash, warnings) = (config.hash.clone(), config.warnings.clone());
        self.watcher.watch(watched(&self.path, &config));
        let next: Generation = self.live.load().next(config);
        let snapshot = next.snapshot.number;
        self.live.swap(next);
        Ok(Reloaded { snapshot, config_hash, warnings })
    }
}

impl Live {
    /// Puts keys in force that were fetched for an issuer, if it still takes them from there.
    pub(super) fn put_in_force(&self, new: NewKeys) {
        let NewKeys { origin, keys, done } = new;
        let generation = self.load();
        let is_origin = |of: &KeyOrigin| Arc::ptr_eq(&of.state, &origin);
        let position = generation.key_origins.iter().position(is_origin).and_then(|at| u16::try_from(at).ok());
        if let Some(position) = position {
            self.swap(generation.with_keys(IssuerId(position), keys));
        }
        let _ = done.send(position.is_some());
    }

    /// Puts in force what a client registry says, if it is still followed.
    pub(super) fn put_registry_in_force(&self, new: NewRegistry) {
        let NewRegistry { source, mirror, availability, done } = new;
        let next = self.load().with_mirror(&source, mirror, availability);
        let is_followed = next.is_some();
        if let Some(next) = next {
            self.swap(next);
        }
        if let Some(done) = done {
            let _ = done.send(is_followed);
        }
    }
}
