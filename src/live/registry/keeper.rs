//! Keeps a follower for each issuer whose clients another Sidegate registers, through all reloads.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

use super::feed::{self, Feed};
use super::follower::{Follower, InForce};
use super::mirrors::Followed;
use super::state::RegistryStates;
use crate::config::RegistrySource;
use crate::config::authority::RegistryFeed;
use crate::live::reload::Request;
use crate::live::state::{Generation, Live};
use crate::net::fetch::Fetcher;

/// How long what a feed has told serves when it is lost: 15 minutes after its last word, of which the follower is told only
/// once the silence has become too long.
const MAX_STALE: Duration = Duration::from_secs(15 * 60).saturating_sub(feed::SILENCE);

/// Follows the feeds of the generation in force.
pub struct Keeper {
    live: Arc<Live>,
    writer: mpsc::Sender<Request>,
    states: RegistryStates,
    fetcher: Rc<Fetcher>,
}

/// What a follower was started with. It goes on as long as that is the same.
#[derive(PartialEq, Eq)]
struct Settings {
    name: Box<str>,
    iss: Box<str>,
    registry: RegistryFeed,
}

/// A feed that is followed, until the value is dropped.
struct Task {
    settings: Settings,
    handle: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Keeper {
    /// Puts what it is told in force through `writer`.
    #[must_use]
    pub fn new(live: Arc<Live>, writer: mpsc::Sender<Request>, states: RegistryStates) -> Self {
        Self { live, writer, states, fetcher: Rc::default() }
    }

    /// Runs for as long as reloads are told of by `change`. Has to run within a `LocalRuntime` or a `LocalSet`.
    pub async fn run(self, mut change: watch::Receiver<()>) {
        let mut tasks = HashMap::new();
        loop {
            let generation = Arc::clone(&self.live.load());
            tasks = self.follow(&generation, tasks);
            if change.changed().await.is_err() {
                return;
            }
        }
    }

    /// Followers for all feeds of `generation`, by the name of the issuer: those of `before` go on where nothing has changed.
    fn follow(&self, generation: &Generation, mut before: HashMap<Box<str>, Task>) -> HashMap<Box<str>, Task> {
        let mut next = HashMap::new();
        for (issuer, followed) in generation.snapshot.issuers.iter().zip(&*generation.mirrors) {
            let Some(followed @ Followed { origin: RegistrySource::Feed(registry), .. }) = followed else { continue };
            let (name, iss) = (issuer.name.clone(), issuer.iss.clone());
            let settings = Settings { name, iss, registry: registry.clone() };
            let same = before.remove(&issuer.name).filter(|task| task.settings == settings);
            let task = same.unwrap_or_else(|| self.start(settings, followed));
            next.insert(issuer.name.clone(), task);
        }
        before.keys().for_each(|name| self.states.forget(name));
        next
    }

    fn start(&self, settings: Settings, followed: &Followed) -> Task {
        let Settings { name, iss, registry } = &settings;
        if !followed.mirror.is_complete() {
            // What is known of another source that was followed under this name says nothing of this one.
            self.states.forget(name);
        }
        let follower = Follower {
            changes: Feed::new(Rc::clone(&self.fetcher), iss.clone(), registry.clone()),
            source: followed.source.clone(),
            issuer: name.clone(),
            max_stale: MAX_STALE,
            in_force: InForce { mirror: Arc::clone(&followed.mirror), availability: followed.availability },
            writer: self.writer.clone(),
            states: self.states.clone(),
        };
        let handle = tokio::task::spawn_local(follower.run()).abort_handle();
        Task { settings, handle }
    }
}
