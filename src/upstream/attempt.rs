//! An attempt to make a connection, awaited by everybody who would share it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::dial::Offer;
use super::endpoint::{Endpoint, too_late};
use super::error::{UpstreamError, UpstreamErrorKind};
use super::http1::Connection;
use super::http2;

/// A connection that was made.
#[derive(Debug)]
pub(super) enum Made {
    /// For one request at a time.
    Http1(Box<Connection>),
    /// For many.
    Http2(Rc<http2::Shared>),
}

/// An attempt that is under way or over.
#[derive(Debug)]
pub(super) struct Attempt {
    outcome: OnceCell<Outcome>,
    ended: Notify,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A connection with places for many. It is in the pool.
    Shared,
    /// A connection for one: whoever takes it first.
    Alone(RefCell<Option<Box<Connection>>>),
    /// None.
    Failed(UpstreamError),
}

impl Default for Attempt {
    fn default() -> Self {
        Self { outcome: OnceCell::new(), ended: Notify::new() }
    }
}

impl Attempt {
    /// Tells everybody who waits.
    pub(super) fn end(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        self.ended.notify_waiters();
    }

    /// Waits for the end.
    pub(super) async fn outcome(&self) -> &Outcome {
        loop {
            let ended = self.ended.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            ended.await;
        }
    }
}

impl Endpoint {
    /// Waits until it is worth while to look for a place again. A connection that cannot be shared after all goes to the
    /// first who waits.
    pub(super) async fn join(self: &Rc<Self>, deadline: Instant) -> Result<Option<Box<Connection>>, UpstreamError> {
        let Some(attempt) = self.attempt() else {
            return match timeout_at(deadline, self.streams.freed.notified()).await {
                Ok(()) => Ok(None),
                Err(_) => Err(UpstreamError::new(UpstreamErrorKind::Busy, "the backend takes no more streams")),
            };
        };
        match timeout_at(deadline, attempt.outcome()).await {
            Ok(Outcome::Shared) => Ok(None),
            Ok(Outcome::Alone(connection)) => Ok(connection.take()),
            Ok(Outcome::Failed(error)) => Err(error.copied()),
            Err(_) => Err(too_late()),
        }
    }

    /// The attempt to make a connection that is under way, or a new one; `None` if there are as many as there may be.
    fn attempt(self: &Rc<Self>) -> Option<Rc<Attempt>> {
        let mut attempt = self.attempt.borrow_mut();
        if attempt.is_none() && self.streams.may_grow() {
            let begun = Rc::new(Attempt::default());
            tokio::task::spawn_local(Rc::clone(self).carry_out(Rc::clone(&begun)));
            *attempt = Some(begun);
        }
        attempt.clone()
    }

    async fn carry_out(self: Rc<Self>, attempt: Rc<Attempt>) {
        let made = self.make(Instant::now() + self.connect_timeout, Offer::Http2OrHttp1).await;
        self.attempt.take();
        attempt.end(match made {
            Ok(Made::Http2(shared)) => {
                self.streams.add(shared);
                Outcome::Shared
            }
            Ok(Made::Http1(connection)) => Outcome::Alone(RefCell::new(Some(connection))),
            Err(error) => Outcome::Failed(error),
        });
    }
}
