//! Waiting for events between threads.

use std::sync::{Arc, Condvar, Mutex};

use super::PATIENCE;

/// A value that one thread changes and others wait on.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.value.lock().unwrap());
        self.changed.notify_all();
        result
    }

    /// The first `Some` that `find` makes of the value; `None` when [`PATIENCE`] ends first.
    pub(crate) fn wait_for<R>(&self, mut find: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let mut found = None;
        let waiting = |value: &mut T| {
            found = find(value);
            found.is_none()
        };
        let guard = self.changed.wait_timeout_while(self.value.lock().unwrap(), PATIENCE, waiting).unwrap();
        drop(guard);
        found
    }
}

/// Holds back whoever passes until a test opens it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Gate(Arc<Watched<bool>>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.change(|open| *open = true);
    }

    pub(crate) fn pass(&self) {
        self.0.wait_for(|open| open.then_some(())).expect("the test did not open the gate");
    }
}
