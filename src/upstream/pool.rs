//! Idle connections to one endpoint, of one worker.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::http1::Connection;

/// How long a connection stays idle. Below the 60 s after which many backends close theirs.
pub(super) const IDLE: Duration = Duration::from_secs(55);
/// Most idle connections that an endpoint has on one worker.
const IDLE_MAX: usize = 256;
/// Time between two looks for connections that were idle too long.
const SWEEP: Duration = Duration::from_secs(5);

/// The pool. The connection used last goes out first, so that those that are not needed grow old and go.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: RefCell<Vec<Idle>>,
    sweeping: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    /// A connection that is alive as far as anybody can tell. `is_current` says whether its address still is one.
    pub(super) fn take(&self, now: Instant, is_current: impl Fn(&SocketAddr) -> bool) -> Option<Box<Connection>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, since }) = idle.pop() {
            if connection.is_idle() && now.saturating_duration_since(since) < IDLE && is_current(&connection.address) {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection back on which nothing but the last piece of an answer has come after `since`. One that is not done
    /// with its request is dropped.
    pub(super) fn put(self: &Rc<Self>, mut connection: Box<Connection>, since: Instant) {
        let mut idle = self.idle.borrow_mut();
        if connection.finish() && idle.len() < IDLE_MAX {
            idle.push(Idle { connection, since });
            if !self.sweeping.replace(true) {
                tokio::task::spawn_local(sweep(Rc::downgrade(self)));
            }
        }
    }

    /// Drops what is closed or was idle too long; false if nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|idle| idle.connection.is_idle() && idle.since.elapsed() < IDLE);
        self.sweeping.set(!idle.is_empty());
        !idle.is_empty()
    }
}

/// Sweeps until the pool is empty or gone.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
