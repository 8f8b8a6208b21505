//! Keeps the last good keys on disk while the gateway runs: off the thread, and without being waited for. A disk that hangs
//! must not stop the refreshing, and one that is full must not fill the log as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::follower::Settings;
use super::{Origin, stored};
use crate::clock;

/// Least time between two writes of the same keys, whose age is all that has changed.
const STORE_AGAIN: Duration = Duration::from_secs(60);

/// What is written of one issuer's keys.
#[derive(Default)]
pub(super) struct Disk {
    /// The write under way, or the last one.
    writing: Option<JoinHandle<()>>,
    began_at: Option<Instant>,
    /// Whether the last write failed.
    is_failing: Arc<AtomicBool>,
}

impl Disk {
    /// Writes keys that were fetched a moment ago, if the configuration says where. While a write is under way another one
    /// is left out: a later fetch makes up for it.
    pub(super) fn keep(&mut self, settings: &Settings, jwks: Bytes, is_new: bool, now: Instant) {
        let is_recent = self.began_at.is_some_and(|at| now.saturating_duration_since(at) < STORE_AGAIN);
        let is_busy = self.writing.as_ref().is_some_and(|writing| !writing.is_finished());
        if settings.state_dir.is_none() || is_busy || is_recent && !is_new {
            return;
        }
        self.began_at = Some(now);
        let (settings, fetched_at, is_failing) = (settings.clone(), clock::now(), Arc::clone(&self.is_failing));
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let Settings { name, iss, fetch, state_dir: Some(directory) } = &settings else { return };
            // Only text is a key set.
            let jwks = std::str::from_utf8(&jwks).unwrap_or_default();
            let stored = stored::store(directory, Origin { name, iss, fetch }, jwks, fetched_at);
            let was_failing = is_failing.swap(stored.is_err(), Ordering::Relaxed);
            if let (Err(error), false) = (stored, was_failing) {
                let directory = directory.display();
                tracing::warn!(issuer = name, %directory, %error, "the last good keys cannot be kept on disk");
            }
        }));
    }
}
