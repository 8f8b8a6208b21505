//! What operators are told of the registries that are followed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How it stands with each registry, by the name of its issuer. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct RegistryStates(Arc<Mutex<BTreeMap<Box<str>, RegistryState>>>);

/// How it stands with a registry.
#[derive(Debug, Clone, Default)]
pub struct RegistryState {
    /// Number of the last change that is known.
    pub number: u64,
    /// How many clients there are.
    pub clients: usize,
    /// When it was last known to be what its source says; `None` if it never was.
    pub last_current: Option<Instant>,
    /// Why its source cannot be followed; `None` if it is.
    pub error: Option<String>,
}

impl RegistryState {
    /// For how long it may have missed changes; `None` if it was never complete.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<Duration> {
        let since = self.last_current?;
        Some(if self.error.is_some() { now.saturating_duration_since(since) } else { Duration::ZERO })
    }
}

impl RegistryStates {
    /// All of them.
    #[must_use]
    pub fn all(&self) -> BTreeMap<Box<str>, RegistryState> {
        self.lock().clone()
    }

    /// That of one issuer.
    #[must_use]
    pub fn get(&self, issuer: &str) -> Option<RegistryState> {
        self.lock().get(issuer).cloned()
    }

    pub(super) fn update(&self, issuer: &str, change: impl FnOnce(&mut RegistryState)) {
        change(self.lock().entry(issuer.into()).or_default());
    }

    pub(super) fn forget(&self, issuer: &str) {
        self.lock().remove(issuer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, RegistryState>> {
        // No panic leaves it half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
