//! Keeps a follower for each issuer whose keys are fetched, through all reloads.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::KeyRefresh;
use super::follower::{Count, Follower, Parts, Settings};
use super::gate::Gate;
use super::origin::{KeyOrigin, KeyState};
use super::source::Get;
use crate::config::KeySource;
use crate::core::keyset::Keyset;
use crate::live::reload::Request;
use crate::live::state::{Generation, Live};
use crate::net::fetch::Fetcher;

/// Fetches the keys of all issuers of the generation in force.
pub struct Keeper {
    parts: Shared<Fetcher>,
}

/// What all followers share.
pub(super) struct Shared<G> {
    pub(super) get: Rc<G>,
    pub(super) count: Rc<Count>,
    pub(super) live: Arc<Live>,
    pub(super) writer: mpsc::Sender<Request>,
    pub(super) refresh: KeyRefresh,
}

impl Keeper {
    /// Puts what it fetches in force through `writer`, and lets requests ask by `refresh`. `count` is told of each fetch:
    /// the issuer's name and one of a few words for its end.
    pub fn new(
        live: Arc<Live>,
        writer: mpsc::Sender<Request>,
        refresh: KeyRefresh,
        count: impl Fn(&str, &'static str) + 'static,
    ) -> Self {
        Self { parts: Shared { get: Rc::default(), count: Rc::new(count), live, writer, refresh } }
    }

    /// Runs for as long as reloads are told of by `change`. Has to run within a `LocalRuntime` or a `LocalSet`.
    pub async fn run(self, change: watch::Receiver<()>) {
        keep(self.parts, change).await;
    }
}

pub(super) async fn keep<G: Get>(shared: Shared<G>, mut change: watch::Receiver<()>) {
    let mut followed = HashMap::new();
    loop {
        let generation = Arc::clone(&shared.live.load());
        followed = shared.follow(&generation, followed);
        let gates = followed.values().map(|task: &Followed| (task.name.clone(), Arc::clone(&task.gate)));
        shared.refresh.set(gates.collect());
        if change.changed().await.is_err() {
            return;
        }
    }
}

/// One issuer that is followed, until the value is dropped.
struct Followed {
    name: Box<str>,
    state: Arc<KeyState>,
    settings: watch::Sender<Settings>,
    gate: Arc<Gate>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<G: Get> Shared<G> {
    /// Followers for all issuers of `generation`, by `iss`: those of `before` go on where the source is still the same.
    fn follow(&self, generation: &Generation, mut before: HashMap<Box<str>, Followed>) -> HashMap<Box<str>, Followed> {
        let mut next = HashMap::new();
        for (issuer, origin) in generation.snapshot.issuers.iter().zip(&*generation.key_origins) {
            let KeyOrigin { source: KeySource::Fetched(fetch), state } = origin else { continue };
            let settings = Settings {
                name: issuer.name.clone(),
                iss: issuer.iss.clone(),
                fetch: fetch.clone(),
                state_dir: generation.state_dir.clone(),
            };
            let same = before.remove(&issuer.iss).filter(|task| Arc::ptr_eq(&task.state, state));
            let task = match same {
                Some(task) => task.with(settings),
                None => self.start(settings, Arc::clone(state), Arc::clone(&issuer.keys)),
            };
            next.insert(issuer.iss.clone(), task);
        }
        next
    }

    fn start(&self, settings: Settings, state: Arc<KeyState>, keys: Arc<Keyset>) -> Followed {
        let (gate, asked) = Gate::new();
        let (gate, name) = (Arc::new(gate), settings.name.clone());
        let (settings, follower_settings) = watch::channel(settings);
        let follower = Follower::new(Parts {
            get: Rc::clone(&self.get),
            count: Rc::clone(&self.count),
            settings: follower_settings,
            state: Arc::clone(&state),
            keys,
            gate: Arc::clone(&gate),
            asked,
            writer: self.writer.clone(),
        });
        let task = tokio::task::spawn_local(follower.run()).abort_handle();
        Followed { name, state, settings, gate, task }
    }
}

impl Followed {
    fn with(mut self, settings: Settings) -> Self {
        self.name.clone_from(&settings.name);
        self.settings.send_if_modified(|old| {
            let is_other = *old != settings;
            if is_other {
                *old = settings;
            }
            is_other
        });
        self
    }
}
