//! Keys that change while the gateway runs: fetched from their issuers ahead of time, kept for the day an issuer is down,
//! and asked for by requests whose token names a key that is not there yet.
//!
//! One task follows each issuer, on the main thread. What it finds goes through the sole writer of what is in force
//! ([`super::reload`]), like any other change. An answer that is bad in any way replaces nothing; the last good keys serve
//! until they are older than `max_stale`.

mod change;
mod discovery;
mod disk;
mod follower;
mod gate;
mod keeper;
mod origin;
mod schedule;
mod source;
mod stored;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use self::gate::Gate;

pub use self::keeper::Keeper;
pub use self::origin::{Good, KeyOrigin, KeyState, Known, LastRefresh, await_all};
pub(super) use self::origin::{InForce, complete, newest};
pub use self::stored::{Origin, Stored, Unusable, stored};

/// Asks for issuers' keys to be fetched, from any thread.
#[derive(Debug, Clone, Default)]
pub struct KeyRefresh(Arc<ArcSwap<HashMap<Box<str>, Arc<Gate>>>>);

/// What has come of asking for keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// A fetch has ended, well or badly, and what it brought is in force.
    Done,
    /// Nothing was fetched, or not in time: there was a fetch for a request less than 10 seconds ago, or the issuer takes
    /// too long, or its keys are not fetched at all.
    NotNow,
    /// Too many wait already.
    Busy,
}

impl KeyRefresh {
    /// Asks for the keys of the issuer of this name in the configuration, and waits until they are in force, at most 5
    /// seconds. All who ask at a time share one fetch. Whatever the answer is, other keys may be in force than those that
    /// whoever asks has seen.
    pub async fn ask(&self, issuer: &str) -> Refreshed {
        let gate = self.0.load().get(issuer).map(Arc::clone);
        match gate {
            Some(gate) => gate.ask().await,
            None => Refreshed::NotNow,
        }
    }

    fn set(&self, gates: HashMap<Box<str>, Arc<Gate>>) {
        self.0.store(Arc::new(gates));
    }
}
