//! What the workers have counted, where whoever wants to know finds it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::series::{Counter, Histogram, RouteSeries};

/// The series of one worker. They stay when it is gone.
#[derive(Debug, Default)]
pub(super) struct Published {
    pub(super) routes: Arc<List<Labelled<RouteSeries>>>,
    pub(super) upstreams: Arc<List<Labelled<Histogram>>>,
    pub(super) token_hit: Counter,
    pub(super) token_revalidated: Counter,
    pub(super) token_miss: Counter,
}

/// Series, behind the label that they have in common.
pub(super) type Labelled<T> = (Arc<str>, Arc<T>);

/// A list that only grows. It is locked to add to it and to copy it, and never by a request that needs no new series.
#[derive(Debug)]
pub(super) struct List<T>(Mutex<Vec<T>>);

impl<T: Clone> List<T> {
    pub(super) fn push(&self, element: T) {
        self.lock().push(element);
    }

    pub(super) fn copy(&self) -> Vec<T> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
