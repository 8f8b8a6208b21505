//! The exchanges of a worker that go on after their decision: requests and answers that are waited for, and tunnels. They end when
//! the client whose token let them in does not stand any more.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustc_hash::FxBuildHasher;
use tokio::time::{sleep, timeout};

use super::serving::Serving;
use crate::clock;
use crate::core::decision::Trace;
use crate::core::rejection::{Reason, Rejection};
use crate::core::still_stands;
use crate::live::state::Live;
use crate::net::ending::Ending;

/// Longest time between two looks at all of them: an expiry is noticed by nothing else.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Shortest time between two, however fast registries change.
const PAUSE: Duration = Duration::from_millis(200);

/// Those of one worker.
pub(super) struct Exchanges {
    live: Arc<Live>,
    open: RefCell<HashMap<u64, Open, FxBuildHasher>>,
    next: Cell<u64>,
    is_watched: Cell<bool>,
}

/// One of them: under what it was let in, and how it is told to end.
struct Open {
    serving: Rc<Serving>,
    trace: Trace,
    ending: Rc<Ending>,
}

/// The place of an exchange among the others; given back when dropped.
pub(super) struct Place {
    exchanges: Rc<Exchanges>,
    number: u64,
    ending: Rc<Ending>,
}

impl Exchanges {
    pub(super) fn new(live: Arc<Live>) -> Rc<Self> {
        Rc::new(Self { live, open: RefCell::default(), next: Cell::new(0), is_watched: Cell::new(false) })
    }

    /// Has an exchange watched that was let in as `trace` tells. Called on the worker's runtime.
    pub(super) fn enter(self: &Rc<Self>, serving: Rc<Serving>, trace: &Trace) -> Place {
        let number = self.next.replace(self.next.get().wrapping_add(1));
        let trace = Trace {
            route: trace.route,
            route_mode: trace.route_mode,
            principal: trace.principal.clone(),
            authenticated: trace.authenticated,
            ..Trace::default()
        };
        let ending = Rc::<Ending>::default();
        self.open.borrow_mut().insert(number, Open { serving, trace, ending: Rc::clone(&ending) });
        if !self.is_watched.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).watch());
        }
        Place { exchanges: Rc::clone(self), number, ending }
    }

    /// Looks at all of them at each change of what is in force, and now and then, until there is none.
    async fn watch(self: Rc<Self>) {
        let mut changes = self.live.changes();
        loop {
            sleep(PAUSE).await;
            let _ = timeout(LOOK_EVERY - PAUSE, changes.changed()).await;
            if self.open.borrow().is_empty() {
                self.is_watched.set(false);
                return;
            }
            self.end_fallen();
        }
    }

    fn end_fallen(&self) {
        let (live, now) = (self.live.load(), clock::now());
        for open in self.open.borrow().values() {
            if still_stands(open.serving.snapshot(), &live.snapshot, &open.trace, now).is_err() {
                open.ending.tell();
            }
        }
    }
}

impl Place {
    /// Ready once the client does not stand any more; why not.
    pub(super) fn poll_fallen(&self, cx: &mut Context<'_>) -> Poll<Rejection> {
        self.ending.poll(cx).map(|()| self.why())
    }

    fn why(&self) -> Rejection {
        let why = || {
            let (live, open) = (self.exchanges.live.load(), self.exchanges.open.borrow());
            let open = open.get(&self.number)?;
            still_stands(open.serving.snapshot(), &live.snapshot, &open.trace, clock::now()).err()
        };
        // It may stand again by now, or be another one of the same name. This exchange has ended all the same.
        why().unwrap_or_else(|| Rejection::new(Reason::ClientRevoked, "the client was revoked meanwhile"))
    }

    /// How the exchange is told to end.
    pub(super) fn ending(&self) -> &Rc<Ending> {
        &self.ending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let gone = self.exchanges.open.borrow_mut().remove(&self.number);
        // What it held may look here as it goes.
        drop(gone);
    }
}
