//! Idle connections to one endpoint, of one worker.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::connection::Connection;

/// How long a connection stays idle. Below the 60 s after which many backends close theirs.
pub(super) const IDLE: Duration = Duration::from_secs(55);
/// Most idle connections that an endpoint has on one worker.
const IDLE_MAX: usize = 256;
/// Time between two looks for connections that were idle too long.
const SWEEP: Duration = Duration::from_secs(5);

/// The pool. The connection used last goes out first, so that those that are not needed grow old and go.
#[derive(Debug)]
pub(super) struct Pool<B> {
    idle: RefCell<Vec<Idle<B>>>,
    sweeping: Cell<bool>,
}

#[derive(Debug)]
struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

impl<B> Default for Pool<B> {
    fn default() -> Self {
        Self { idle: RefCell::default(), sweeping: Cell::new(false) }
    }
}

impl<B: 'static> Pool<B> {
    /// A connection that is alive as far as anybody can tell. `is_current` says whether its address still is one.
    pub(super) fn take(&self, is_current: impl Fn(&SocketAddr) -> bool) -> Option<Connection<B>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, since }) = idle.pop() {
            if connection.sender.is_ready() && since.elapsed() < IDLE && is_current(&connection.address) {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// Takes a connection back. One that is not done with its request, or was closed, is dropped.
    pub(super) fn put(self: &Rc<Self>, connection: Connection<B>) {
        let mut idle = self.idle.borrow_mut();
        if connection.sender.is_ready() && idle.len() < IDLE_MAX {
            idle.push(Idle { connection, since: Instant::now() });
            if !self.sweeping.replace(true) {
                tokio::task::spawn_local(sweep(Rc::downgrade(self)));
            }
        }
    }

    /// Drops what is closed or was idle too long; false if nothing is left.
    fn sweep(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|idle| !idle.connection.sender.is_closed() && idle.since.elapsed() < IDLE);
        self.sweeping.set(!idle.is_empty());
        !idle.is_empty()
    }
}

/// Sweeps until the pool is empty or gone.
async fn sweep<B: 'static>(pool: Weak<Pool<B>>) {
    loop {
        sleep(SWEEP).await;
        if !pool.upgrade().is_some_and(|pool| pool.sweep()) {
            return;
        }
    }
}
