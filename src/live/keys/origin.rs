//! Where the keys of a generation's issuers come from, and what is known of them. It goes from one generation to the next
//! as long as the source is the same, so that a reload neither loses keys nor forgets how old they are.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::time::{Instant, timeout};

use super::stored::{self, Stored};
use crate::clock;
use crate::config::{Config, KeyFetch, KeySource};
use crate::core::keyset::Keyset;
use crate::core::snapshot::{Issuer, IssuerId, Issuers, Snapshot};
use crate::live::state::Live;

/// The origin of one issuer's keys.
#[derive(Debug, Clone)]
pub struct KeyOrigin {
    /// Where they come from.
    pub source: KeySource,
    /// What is known of them.
    pub state: Arc<KeyState>,
}

/// What is known of one issuer's keys, beside the keys themselves.
#[derive(Debug, Default)]
pub struct KeyState(Mutex<Known>);

/// The content of a [`KeyState`].
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// The last good keys; `None` if there were none yet.
    pub good: Option<Good>,
    /// The last attempt to fetch them.
    pub last_refresh: Option<LastRefresh>,
    /// When they will be fetched next.
    pub next_refresh: Option<Instant>,
}

/// The last good keys.
#[derive(Debug, Clone)]
pub struct Good {
    /// SHA-256 of the key set, byte for byte.
    pub(super) digest: [u8; 32],
    /// When we got them.
    at: Instant,
    /// How old they were then: those from the disk were fetched before.
    age_then: Duration,
}

/// An attempt to fetch keys.
#[derive(Debug, Clone)]
pub struct LastRefresh {
    /// When it ended, by the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// Why it failed; `None` if it did not.
    pub error: Option<String>,
}

impl Good {
    /// Keys that were fetched a moment ago.
    pub(super) fn fetched(jwks: &[u8], now: Instant) -> Self {
        Self { digest: digest_of(jwks), at: now, age_then: Duration::ZERO }
    }

    /// Their age.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        self.age_then.saturating_add(now.saturating_duration_since(self.at))
    }

    /// When they will be older than `max_stale`.
    pub(super) fn stale_at(&self, max_stale: Duration) -> Instant {
        self.at + max_stale.saturating_sub(self.age_then)
    }
}

/// SHA-256 of a key set.
pub(super) fn digest_of(jwks: &[u8]) -> [u8; 32] {
    digest(&SHA256, jwks).as_ref().try_into().unwrap_or_default()
}

impl KeyState {
    /// What is known now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.lock().clone()
    }

    /// For keys that were read from a file.
    #[must_use]
    pub fn of_file(now: Instant) -> Self {
        Self::of(Some(Good { digest: digest_of(&[]), at: now, age_then: Duration::ZERO }))
    }

    /// Keys that did not have to be fetched are good from now on.
    pub fn are_good(&self, jwks: &[u8], now: Instant) {
        self.update(|known| known.good = Some(Good::fetched(jwks, now)));
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Known)) {
        change(&mut self.lock());
    }

    fn of(good: Option<Good>) -> Self {
        Self(Mutex::new(Known { good, ..Known::default() }))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // No panic leaves it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys in force, and where they come from.
#[derive(Clone, Copy)]
pub(in crate::live) struct InForce<'a> {
    pub(in crate::live) snapshot: &'a Snapshot,
    pub(in crate::live) origins: &'a [KeyOrigin],
}

/// Completes the snapshot of `config` with keys that are there without fetching: those in force `before`, where the
/// source is still the same, and otherwise the last good ones on disk. The origins, in the order of the issuers.
pub(in crate::live) fn complete(config: &mut Config, before: Option<InForce<'_>>) -> Arc<[KeyOrigin]> {
    let now = clock::timer();
    let mut issuers = config.snapshot.issuers.clone();
    let mut origins = Vec::with_capacity(config.key_sources.len());
    for ((id, issuer), source) in (0..).map(IssuerId).zip(config.snapshot.issuers.iter()).zip(&config.key_sources) {
        let state = match source {
            KeySource::File => Arc::new(KeyState::of_file(now)),
            KeySource::Authority => {
                let (keys, state) = before.and_then(|before| before.keys_of_authority(issuer)).unwrap_or_default();
                issuers = issuers.with_keys(id, keys);
                state
            }
            KeySource::Fetched(fetch) => {
                let (keys, state) = before
                    .and_then(|before| before.keys_of(issuer, fetch))
                    .unwrap_or_else(|| restored(config.state_dir.as_deref(), issuer, fetch, now));
                issuers = issuers.with_keys(id, keys);
                state
            }
        };
        origins.push(KeyOrigin { source: source.clone(), state });
    }
    config.snapshot.issuers = issuers;
    origins.into()
}

/// The same issuers with the keys that are in force by `now`, where the origin has been taken over from there: others may
/// have come since [`complete`].
pub(in crate::live) fn newest(issuers: Issuers, origins: &[KeyOrigin], now: InForce<'_>) -> Issuers {
    let ids = (0..).map(IssuerId);
    ids.zip(origins).fold(issuers, |issuers, (id, origin)| match now.keys_from(origin) {
        Some(keys) => issuers.with_keys(id, keys),
        None => issuers,
    })
}

impl InForce<'_> {
    /// The keys of this very origin.
    fn keys_from(self, origin: &KeyOrigin) -> Option<Arc<Keyset>> {
        let mut all = self.snapshot.issuers.iter().zip(self.origins);
        let (issuer, _) = all.find(|(_, known)| Arc::ptr_eq(&known.state, &origin.state))?;
        Some(Arc::clone(&issuer.keys))
    }

    /// Our authority's keys in force: they do not come again because the configuration was loaded again.
    fn keys_of_authority(self, issuer: &Issuer) -> Option<(Arc<Keyset>, Arc<KeyState>)> {
        let mut all = self.snapshot.issuers.iter().zip(self.origins);
        let (old, origin) = all.find(|(old, origin)| old.iss == issuer.iss && origin.source == KeySource::Authority)?;
        Some((Arc::clone(&old.keys), Arc::clone(&origin.state)))
    }

    /// The keys in force, if they are those of this issuer and came from where they would come from now.
    fn keys_of(self, issuer: &Issuer, fetch: &KeyFetch) -> Option<(Arc<Keyset>, Arc<KeyState>)> {
        let mut all = self.snapshot.issuers.iter().zip(self.origins);
        let (old, origin) = all.find(|(old, _)| old.iss == issuer.iss)?;
        match &origin.source {
            KeySource::Fetched(old_fetch) if old_fetch.jwks_uri == fetch.jwks_uri => {
                Some((Arc::clone(&old.keys), Arc::clone(&origin.state)))
            }
            _ => {
                tracing::warn!(
                    issuer = issuer.name,
                    "the keys come from elsewhere now: the old ones are not used any more"
                );
                None
            }
        }
    }
}

/// The last good keys on disk, or none.
fn restored(directory: Option<&Path>, issuer: &Issuer, fetch: &KeyFetch, now: Instant) -> (Arc<Keyset>, Arc<KeyState>) {
    let none = || (Arc::default(), Arc::default());
    let Some(directory) = directory else { return none() };
    let origin = stored::Origin { name: &issuer.name, iss: &issuer.iss, fetch };
    let wall_clock = clock::now();
    match stored::stored(directory, origin, wall_clock) {
        Ok(Some(Stored { keys, jwks, fetched_at })) => {
            let age_then = Duration::from_secs(wall_clock.0.saturating_sub(fetched_at.0).unsigned_abs());
            tracing::info!(issuer = issuer.name, age_seconds = age_then.as_secs(), "the last good keys are used");
            let good = Good { digest: digest_of(jwks.as_bytes()), at: now, age_then };
            (Arc::new(keys), Arc::new(KeyState::of(Some(good))))
        }
        Ok(None) => none(),
        Err(error) => {
            tracing::warn!(issuer = issuer.name, %error, "the last good keys on disk are not used");
            none()
        }
    }
}

/// Waits until every issuer has keys, and its client registry if it has one, and no longer than this. Whether they have.
pub async fn await_all(live: &Live, at_most: Duration) -> bool {
    let is_there = |issuers: &Issuers, id, issuer: &Issuer| !issuer.keys.is_empty() && !issuers.lacks_registry(id);
    let all = live.wait_for(|generation| {
        let issuers = &generation.snapshot.issuers;
        issuers.with_ids().all(|(id, issuer)| is_there(issuers, id, issuer))
    });
    timeout(at_most, all).await.is_ok()
}
