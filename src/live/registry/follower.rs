//! Follows one source of a registry, for as long as it is asked to: what it says goes through the sole writer of what is in
//! force, like any other change.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::mirror::Mirror;
use super::mirrors::Source;
use super::state::RegistryStates;
use crate::clock;
use crate::core::registry::{Availability, Change};
use crate::live::reload::{NewRegistry, Request};

/// How long after a failure a source is asked again: the first time, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// What has changed.
#[derive(Debug, Default)]
pub struct Batch {
    /// Number of the last change: everything up to it is known with this batch.
    pub number: u64,
    /// The changes, in the order of their numbers.
    pub items: Vec<(u64, Change)>,
}

/// Where changes come from.
pub trait Changes {
    /// What has changed after the change of this number, waiting until there is something; everything there is, at once,
    /// after `None`. Dropping it loses nothing.
    ///
    /// # Errors
    /// Why the source cannot be followed, for operators. It may be asked again.
    fn next(&mut self, after: Option<u64>) -> impl Future<Output = Result<Batch, String>>;
}

/// Follows a source.
pub struct Follower<C> {
    /// Where the changes come from.
    pub changes: C,
    /// Whose clients they are, as the sole writer knows it.
    pub source: Source,
    /// Name of the issuer.
    pub issuer: Box<str>,
    /// How long what is known serves when the source is lost.
    pub max_stale: Duration,
    /// What of it is in force already: followed from there.
    pub in_force: InForce,
    /// The sole writer.
    pub writer: mpsc::Sender<Request>,
    /// Where operators look.
    pub states: RegistryStates,
}

/// What of a source is in force when a follower begins.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    /// What it has told so far.
    pub mirror: Arc<Mirror>,
    /// Whether that can be relied on.
    pub availability: Availability,
}

impl<C: Changes> Follower<C> {
    /// Follows until nobody takes what it finds.
    pub async fn run(mut self) {
        let mut progress = self.begin();
        while self.step(&mut progress).await.is_some() {}
        self.states.forget(&self.issuer);
    }

    /// Where it begins. What is in force was followed by another one until a moment ago, or had been lost before.
    fn begin(&mut self) -> Progress {
        let InForce { mirror, availability } = std::mem::take(&mut self.in_force);
        let is_relied_on = mirror.is_complete() && availability == Availability::Current;
        let known = mirror.is_complete().then(|| mirror.number());
        let now = clock::timer();
        let age = self.states.get(&self.issuer).and_then(|state| state.age(now)).unwrap_or_default();
        let lost = known.map(|_| Lost::new(now.checked_sub(age).unwrap_or(now)));
        Progress { mirror, known, is_relied_on, lost }
    }

    /// One batch, or one failure; `None` at the end.
    async fn step(&mut self, progress: &mut Progress) -> Option<()> {
        let too_old_at = progress.too_old_at(self.max_stale);
        let batch = tokio::select! {
            batch = self.changes.next(progress.known) => batch,
            () = passed(too_old_at) => return self.give_up(progress).await,
        };
        match batch {
            Ok(batch) => match progress.take(batch) {
                Taken::Something => {
                    self.publish(progress, Availability::Current).await?;
                    self.told(progress);
                }
                Taken::Nothing => self.told(progress),
                Taken::StartedOver => {
                    tracing::warn!(issuer = self.issuer, "the client registry has lost changes: it is read anew");
                }
            },
            Err(error) => {
                let pause = self.failed(progress, error);
                tokio::select! {
                    () = sleep(pause) => {}
                    () = passed(progress.too_old_at(self.max_stale)) => return self.give_up(progress).await,
                }
            }
        }
        Some(())
    }

    /// What is known is too old to be relied on.
    async fn give_up(&self, progress: &mut Progress) -> Option<()> {
        tracing::error!(issuer = self.issuer, "the client registry is older than it may be: tokens are refused");
        self.publish(progress, Availability::Lost).await
    }

    async fn publish(&self, progress: &mut Progress, availability: Availability) -> Option<()> {
        progress.is_relied_on = availability == Availability::Current;
        let (done, is_done) = oneshot::channel();
        let (source, mirror) = (self.source.clone(), Arc::clone(&progress.mirror));
        self.writer
            .send(Request::Registry(NewRegistry { source, mirror, availability, done: Some(done) }))
            .await
            .ok()?;
        // Whatever comes meanwhile is one batch.
        is_done.await.ok().map(|_| ())
    }

    fn told(&self, progress: &mut Progress) {
        if progress.lost.take().is_some_and(|lost| lost.error.is_some()) {
            tracing::info!(issuer = self.issuer, "the client registry is followed again");
        }
        let mirror = &progress.mirror;
        self.states.update(&self.issuer, |state| {
            state.number = mirror.number();
            state.clients = mirror.client_count();
            state.last_current = Some(clock::timer());
            state.error = None;
        });
    }

    /// How long to wait before the source is asked again.
    fn failed(&self, progress: &mut Progress, error: String) -> Duration {
        let now = clock::timer();
        let lost = progress.lost.get_or_insert_with(|| Lost::new(now));
        let since = lost.since;
        if lost.error.as_deref() != Some(&*error) {
            tracing::warn!(issuer = self.issuer, error, "the client registry cannot be followed");
            lost.error = Some(error.clone().into());
        }
        self.states.update(&self.issuer, |state| {
            // Until then nothing was missed.
            state.last_current = state.last_current.map(|_| since);
            state.error = Some(error);
        });
        let pause = lost.retry;
        lost.retry = (pause * 2).min(RETRY.1);
        pause
    }
}

/// How far a follower has come.
struct Progress {
    /// What is in force.
    mirror: Arc<Mirror>,
    /// Number up to which everything is known; `None` before the first batch, and where everything has to be read anew.
    known: Option<u64>,
    /// Whether what is in force can be relied on. It stays in force while everything is read anew.
    is_relied_on: bool,
    /// The source, since it cannot be followed.
    lost: Option<Lost>,
}

struct Lost {
    since: Instant,
    retry: Duration,
    /// Why, as operators were told.
    error: Option<Box<str>>,
}

impl Lost {
    fn new(since: Instant) -> Self {
        Self { since, retry: RETRY.0, error: None }
    }
}

impl Progress {
    /// When what is in force becomes too old: `None` while the source is followed, while there is nothing to rely on anyway,
    /// and once it has.
    fn too_old_at(&self, max_stale: Duration) -> Option<Instant> {
        let lost = self.lost.as_ref().filter(|_| self.is_relied_on)?;
        Some(lost.since + max_stale)
    }

    fn take(&mut self, batch: Batch) -> Taken {
        let Batch { number, items } = batch;
        if self.known.is_some_and(|known| number < known) {
            // A storage that was restored from a backup: what was taken back is not told.
            self.known = None;
            return Taken::StartedOver;
        }
        if self.known.is_none() {
            self.mirror = Arc::default();
        }
        if self.known == Some(number) && items.is_empty() && self.lost.is_none() {
            return Taken::Nothing;
        }
        let mirror = Arc::make_mut(&mut self.mirror);
        for (number, change) in items {
            mirror.apply(number, change);
        }
        mirror.advance(number);
        mirror.complete();
        mirror.forget_expired(clock::now());
        self.known = Some(number);
        Taken::Something
    }
}

/// What became of a batch.
enum Taken {
    /// There is something new, or something old is current again.
    Something,
    Nothing,
    /// Its numbers went back: all that is known stays in force until it is known anew.
    StartedOver,
}

async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}
