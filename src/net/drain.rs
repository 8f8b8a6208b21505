//! The end of a worker: told once, seen by every connection.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

/// Tells the connections of one worker, and their streams, that no further requests are wanted on them. Clones are told
/// together.
#[derive(Debug, Default, Clone)]
pub struct Drain(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    started: Cell<bool>,
    notify: Notify,
}

impl Drain {
    /// From now on every answer ends its connection, and connections without a request end at once.
    pub fn start(&self) {
        self.0.started.set(true);
        self.0.notify.notify_waiters();
    }

    /// Whether [`Drain::start`] was called.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.0.started.get()
    }

    /// Returns once [`Drain::start`] is called, or at once if it has been.
    pub async fn started(&self) {
        let notified = self.0.notify.notified();
        if !self.is_started() {
            notified.await;
        }
    }
}
