//! Reloading: the sole writer of the generation in force.
//!
//! The new one is built whole before anything is touched, and swapped in one step. A configuration with a problem changes
//! nothing and is reported wherever an operator looks: in the answer, in `/status`, in the metrics and in the log.
//!
//! Files are read beside the writer, which takes in keys and clients meanwhile: a disk that hangs must not hold up that
//! somebody is revoked.

mod fixed;
mod loads;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};

use self::loads::Loads;
use super::keys::{KeyOrigin, KeyState};
use super::registry::{Mirror, Source};
use super::state::{Live, Prepared};
use super::watch::Watcher;
use crate::config::{self, Config};
use crate::core::keyset::Keyset;
use crate::core::registry::Availability;
use crate::core::snapshot::IssuerId;

pub use self::fixed::Fixed;

/// Changes that may wait until the writer takes them, which it does at once: it waits for nothing but them.
pub const WAITING_MAX: usize = 16;

/// Asks for a change of what is in force.
#[derive(Debug)]
pub enum Request {
    /// A reload. Whoever wants to know how it went leaves a channel.
    Reload(Option<Reply>),
    /// Other keys for an issuer.
    Keys(NewKeys),
    /// What a client registry says now.
    Registry(NewRegistry),
}

/// Where whoever has asked for a reload is told how it went.
type Reply = oneshot::Sender<Result<Reloaded, String>>;

/// What has come of reading the configuration: why there is none, for operators, otherwise.
type Loaded = Result<Prepared, String>;

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
        let mut loads = Loads::default();
        loop {
            loads.begin_next(|| reloader.begin());
            tokio::select! {
                request = requests.recv() => match request {
                    Some(Request::Reload(reply)) => loads.ask(reply),
                    Some(Request::Keys(new)) => reloader.live.put_in_force(new),
                    Some(Request::Registry(new)) => reloader.live.put_registry_in_force(new),
                    None => return,
                },
                (loaded, replies) = loads.end() => reloader.finish(loaded, replies),
            }
        }
    }

    /// Begins to load. Keys are parsed and files are read: not on the thread that answers health checks.
    fn begin(self: &Arc<Self>) -> JoinHandle<Loaded> {
        let working = Arc::clone(self);
        spawn_blocking(move || working.load())
    }

    fn load(&self) -> Loaded {
        // What is read now need not be noticed; whatever happens to the files from here on has to be.
        self.watcher.about_to_read();
        let mut config = config::load(&self.path, &|name| std::env::var_os(name)).map_err(|problems| {
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
        self.fixed.arrange(&mut config);
        self.watcher.watch(watched(&self.path, &config));
        Ok(self.live.load().prepare(config))
    }

    /// Puts in force what was loaded, and tells how that went.
    fn finish(&self, loaded: Loaded, replies: Vec<Reply>) {
        let outcome = loaded.map(|prepared| self.live.reload(prepared));
        (self.report)(&outcome);
        for reply in replies {
            let _ = reply.send(outcome.clone());
        }
    }
}

impl Live {
    fn reload(&self, prepared: Prepared) -> Reloaded {
        let (config_hash, warnings) = (prepared.config.hash.clone(), prepared.config.warnings.clone());
        let next = self.load().next(prepared);
        let snapshot = next.snapshot.number;
        self.swap(next);
        Reloaded { snapshot, config_hash, warnings }
    }

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
