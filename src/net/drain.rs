//! The end of a worker: told once, seen by every connection.

use std::cell::Cell;

use tokio::sync::Notify;

/// Tells the connections of one worker that no further requests are wanted on them.
#[derive(Debug, Default)]
pub struct Drain {
    started: Cell<bool>,
    notify: Notify,
}

impl Drain {
    /// From now on every answer ends its connection, and connections without a request end at once.
    pub fn start(&self) {
        self.started.set(true);
        self.notify.notify_waiters();
    }

    /// Whether [`Drain::start`] was called.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.get()
    }

    /// Returns once [`Drain::start`] is called, or at once if it has been.
    pub async fn started(&self) {
        let notified = self.notify.notified();
        if !self.is_started() {
            notified.await;
        }
    }
}
