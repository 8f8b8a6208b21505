//! An attempt to make a connection, awaited by everybody who would share it.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use super::connection::Connection;
use super::error::UpstreamError;
use super::http2;

/// A connection that was made.
#[derive(Debug)]
pub(super) enum Made<B> {
    /// For one request at a time.
    Http1(Connection<B>),
    /// For many.
    Http2(Rc<http2::Shared>),
}

/// An attempt that is under way or over.
#[derive(Debug)]
pub(super) struct Attempt<B> {
    outcome: OnceCell<Outcome<B>>,
    ended: Notify,
}

/// What came of an attempt.
#[derive(Debug)]
pub(super) enum Outcome<B> {
    /// A connection with places for many. It is in the pool.
    Shared,
    /// A connection for one: whoever takes it first.
    Alone(RefCell<Option<Connection<B>>>),
    /// None.
    Failed(UpstreamError),
}

impl<B> Default for Attempt<B> {
    fn default() -> Self {
        Self { outcome: OnceCell::new(), ended: Notify::new() }
    }
}

impl<B> Attempt<B> {
    /// Tells everybody who waits.
    pub(super) fn end(&self, outcome: Outcome<B>) {
        let _ = self.outcome.set(outcome);
        self.ended.notify_waiters();
    }

    /// Waits for the end.
    pub(super) async fn outcome(&self) -> &Outcome<B> {
        loop {
            let ended = self.ended.notified();
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            ended.await;
        }
    }
}
