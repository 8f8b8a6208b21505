//! Follows one issuer: fetches its keys when they are due or asked for, puts them in force, and takes them out again when
//! they have become too old.

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::Refreshed;
use super::change::log_change;
use super::disk::Disk;
use super::gate::{Ask, Gate};
use super::origin::{Good, KeyState, LastRefresh, digest_of};
use super::schedule::{Jitter, Pace, Schedule};
use super::source::{Found, Get, KeyError, Source};
use crate::clock;
use crate::config::KeyFetch;
use crate::core::keyset::Keyset;
use crate::live::reload::{NewKeys, Request};

/// What the configuration says about an issuer. A reload can change it without touching the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) name: Box<str>,
    pub(super) iss: Box<str>,
    pub(super) fetch: KeyFetch,
    pub(super) state_dir: Option<PathBuf>,
}

impl Settings {
    fn pace(&self) -> Pace {
        let KeyFetch { jwks_uri: _, refresh, max_stale } = self.fetch;
        Pace { refresh, max_stale }
    }
}

/// Told of each fetch: the issuer's name, and what kind of end it had.
pub(super) type Count = dyn Fn(&str, &'static str);

/// What a follower is made of.
pub(super) struct Parts<G> {
    pub(super) get: Rc<G>,
    pub(super) count: Rc<Count>,
    pub(super) settings: watch::Receiver<Settings>,
    pub(super) state: Arc<KeyState>,
    /// The keys in force, which may be none.
    pub(super) keys: Arc<Keyset>,
    pub(super) gate: Arc<Gate>,
    pub(super) asked: mpsc::Receiver<Ask>,
    pub(super) writer: mpsc::Sender<Request>,
}

/// Follows one issuer.
pub(super) struct Follower<G> {
    parts: Parts<G>,
    schedule: Schedule,
    source: Source,
    disk: Disk,
}

/// Why a follower wakes up.
enum Woken {
    Due,
    Asked(Ask),
    Stale,
    Reconfigured,
    /// The issuer has left the configuration.
    Gone,
}

impl<G: Get> Follower<G> {
    pub(super) fn new(parts: Parts<G>) -> Self {
        let schedule = Schedule::new(clock::timer());
        Self { parts, schedule, source: Source::default(), disk: Disk::default() }
    }

    /// Follows the issuer until it leaves the configuration.
    pub(super) async fn run(mut self) {
        loop {
            match self.wait().await {
                Woken::Due => self.refresh(None).await,
                Woken::Asked(ask) => self.asked(ask).await,
                Woken::Stale => self.drop_keys().await,
                Woken::Reconfigured => self.reconfigured(),
                Woken::Gone => return,
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let (due, stale_at) = (self.schedule.due(), self.stale_at());
        let stale = async {
            match stale_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = self.parts.settings.changed() => if changed.is_ok() { Woken::Reconfigured } else { Woken::Gone },
            () = stale => Woken::Stale,
            () = sleep_until(due) => Woken::Due,
            ask = self.parts.asked.recv() => ask.map_or(Woken::Gone, Woken::Asked),
        }
    }

    /// When the keys in force become too old; `None` if there are none.
    fn stale_at(&self) -> Option<Instant> {
        let good = self.parts.state.known().good.filter(|_| self.has_keys())?;
        Some(good.stale_at(self.parts.settings.borrow().fetch.max_stale))
    }

    fn has_keys(&self) -> bool {
        self.parts.keys.iter().len() > 0
    }

    async fn asked(&mut self, ask: Ask) {
        let now = clock::timer();
        if self.parts.gate.is_shut(now) {
            // It came in before the last fetch had ended.
            let _ = ask.send(Refreshed::NotNow);
        } else {
            self.schedule.begin_asked(now);
            self.refresh(Some(ask)).await;
        }
    }

    /// One fetch, and what comes of it. Requests that ask meanwhile wait in their queue.
    async fn refresh(&mut self, ask: Option<Ask>) {
        self.parts.gate.begin(self.schedule.asked_until(clock::timer()));
        let settings = self.parts.settings.borrow().clone();
        let found = self.source.keys(&*self.parts.get, &settings.iss, settings.fetch.jwks_uri.as_ref()).await;
        let has_changed = match found {
            Ok(found) => self.take(found, &settings).await,
            Err(error) => {
                self.fail(&error, &settings);
                false
            }
        };
        let now = clock::timer();
        self.parts.state.update(|known| known.next_refresh = Some(self.schedule.due()));
        self.parts.gate.end();
        // Keys that came into being since a fetch began that nobody had asked for may not be in it: whoever has asked
        // meanwhile gets another one, if there is one to be had.
        if ask.is_some() || has_changed || self.schedule.asked_until(now).is_some() {
            let waiting = std::iter::from_fn(|| self.parts.asked.try_recv().ok());
            ask.into_iter().chain(waiting).for_each(|ask| _ = ask.send(Refreshed::Done));
        }
    }

    /// Puts keys in force, if they are not. Whether they were not.
    async fn take(&mut self, found: Found, settings: &Settings) -> bool {
        let Found { keys, jwks, max_age } = found;
        let (now, was_failing) = (clock::timer(), self.schedule.is_failing());
        self.schedule.succeeded(now, settings.pace(), max_age, jitter());
        let known = self.parts.state.known();
        let has_changed = !self.has_keys() || known.good.is_none_or(|good| good.digest != digest_of(&jwks));
        if has_changed {
            let keys = Arc::new(keys);
            if !self.put_in_force(Arc::clone(&keys)).await {
                return false;
            }
            log_change(&settings.name, &self.parts.keys, &keys);
            self.parts.keys = keys;
        }
        if was_failing {
            tracing::info!(issuer = settings.name, "the issuer's keys can be fetched again");
        }
        (self.parts.count)(&settings.name, "success");
        self.parts.state.update(|known| {
            known.good = Some(Good::fetched(&jwks, now));
            known.last_refresh = Some(LastRefresh { at_ms: clock::now_ms(), error: None });
        });
        self.disk.keep(settings, jwks, has_changed, now);
        has_changed
    }

    fn fail(&mut self, error: &KeyError, settings: &Settings) {
        let error_text = error.to_string();
        if !self.schedule.is_failing() {
            let has_keys = self.has_keys();
            tracing::warn!(issuer = settings.name, error = error_text, has_keys, "the issuer's keys cannot be fetched");
        }
        (self.parts.count)(&settings.name, error.result());
        self.schedule.failed(clock::timer(), settings.pace(), jitter());
        let last = LastRefresh { at_ms: clock::now_ms(), error: Some(error_text) };
        self.parts.state.update(|known| known.last_refresh = Some(last));
    }

    /// No token of the issuer is accepted any more until it has been reached again.
    async fn drop_keys(&mut self) {
        let issuer = self.parts.settings.borrow().name.clone();
        tracing::error!(issuer, "the issuer's last good keys are older than max_stale and are not used any more");
        let none = Arc::<Keyset>::default();
        // Where it cannot be done, there is nothing of ours in force.
        self.put_in_force(Arc::clone(&none)).await;
        self.parts.keys = none;
    }

    /// Has the sole writer put these keys in force. Whether they are: an issuer that has left the configuration, or has
    /// another source of keys now, takes none of ours.
    async fn put_in_force(&self, keys: Arc<Keyset>) -> bool {
        let (done, is_done) = oneshot::channel();
        let new = NewKeys { origin: Arc::clone(&self.parts.state), keys, done };
        self.parts.writer.send(Request::Keys(new)).await.is_ok() && is_done.await.unwrap_or(false)
    }

    fn reconfigured(&mut self) {
        let pace = self.parts.settings.borrow_and_update().pace();
        self.schedule.set_pace(pace, jitter());
        self.parts.state.update(|known| known.next_refresh = Some(self.schedule.due()));
    }
}

fn jitter() -> Jitter {
    // The keys of a hasher are random: no more is needed to be out of step.
    Jitter(f64::from((RandomState::new().hash_one(0_u8) % 1001) as u32) / 1000.0)
}
