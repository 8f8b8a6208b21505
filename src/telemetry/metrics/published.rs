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

/// What a block takes up, with the counts of its owners, in bytes: a page.
const BLOCK_BYTES: usize = 4096;

/// Series that lie close together. One by one they would be made among what requests allocate for a moment, and keep its pages
/// full.
pub(super) type Block<T> = Arc<[T]>;

/// Series, behind the label that they have in common: a block of such, and their place there.
pub(super) type Labelled<T> = (Arc<str>, Block<T>, usize);

/// The label and its series.
pub(super) fn shown<T>((label, block, at): &Labelled<T>) -> Option<(&str, &T)> {
    Some((&**label, block.get(*at)?))
}

/// All series of one kind, by number.
#[derive(Debug)]
pub(super) struct Blocks<T>(Vec<Block<T>>);

impl<T: Default> Blocks<T> {
    /// How many series there are in a block. One's place is left to the counts of its owners.
    const SERIES: usize = {
        assert!(2 * size_of::<T>() <= BLOCK_BYTES);
        BLOCK_BYTES / size_of::<T>() - 1
    };

    /// Where the series with this number is. The block is made with the first one in it: numbers come in their order.
    pub(super) fn place(&mut self, number: usize) -> Option<(Block<T>, usize)> {
        if self.0.len() <= number / Self::SERIES {
            self.0.push((0..Self::SERIES).map(|_| T::default()).collect());
        }
        self.0.get(number / Self::SERIES).map(|block| (Arc::clone(block), number % Self::SERIES))
    }

    /// The series with this number.
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number / Self::SERIES)?.get(number % Self::SERIES)
    }
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

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
