//! Waiting for an issuer's keys: only requests do that depend on them, and none that would be let through without.

use std::cell::Cell;
use std::rc::Rc;

use crate::core::KeysAsked;
use crate::live::keys::{KeyRefresh, Refreshed};

/// Where a worker's requests ask for keys.
pub(super) struct Keys {
    refresh: KeyRefresh,
    /// Whether they are asked for though no request waits.
    in_background: Rc<Cell<bool>>,
}

impl Keys {
    pub(super) fn new(refresh: KeyRefresh) -> Self {
        Self { refresh, in_background: Rc::default() }
    }

    /// Waits for the fetch of this issuer's keys that all who wait share. Whoever is dropped meanwhile waits no more.
    pub(super) async fn ask(&self, issuer: &str) -> KeysAsked {
        match self.refresh.ask(issuer).await {
            Refreshed::Done | Refreshed::NotNow => KeysAsked::Already,
            Refreshed::Busy => KeysAsked::TooMany,
        }
    }

    /// Asks without waiting: for the requests that come later. One at a time, so that it takes the place of no more than
    /// one request that waits.
    pub(super) fn ask_in_background(&self, issuer: &str) {
        if self.in_background.replace(true) {
            return;
        }
        let (refresh, asking, issuer) =
            (self.refresh.clone(), Rc::clone(&self.in_background), Box::<str>::from(issuer));
        tokio::task::spawn_local(async move {
            refresh.ask(&issuer).await;
            asking.set(false);
        });
    }
}
