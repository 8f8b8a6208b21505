//! Series that one worker counts in and any thread may read.
//!
//! With a single writer no addition has to be atomic: it is a load and a store, and no other core is waited for. A reader
//! finds each value as it was a moment ago, and never a lower one than before. What a request counts in lies together, so
//! that a large table costs few cache misses.

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::labels::{MethodLabel, Verdict};

/// Upper bounds of the buckets of a histogram, in microseconds: from a local refusal (100 µs) to the longest wait that is
/// usual (30 s).
pub(super) const BOUNDS_MICROS: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// The series in place, without those that a route seldom has: two statuses and two verdicts in one cache line.
const USUAL: usize = 4;
/// How many more there is room for at a time.
const MORE: usize = 32;

/// A counter.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

/// A sum of durations, in seconds. That of many requests at once grows faster than time, and an integer would have an end.
#[derive(Debug, Default)]
struct Seconds(AtomicU64);

/// A histogram of durations.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Histogram {
    seconds: Seconds,
    /// One for each bound, each without what is in those before it, and one for what is above all bounds.
    buckets: [Counter; BOUNDS_MICROS.len() + 1],
}

/// All series of one route. Here as in what it is made of, the order is that of the memory: what every request counts in comes
/// first. With the counts of its [`Arc`](std::sync::Arc) it is a quarter of a kilobyte.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct RouteSeries {
    counters: Counters<USUAL>,
    pub(super) duration: Histogram,
}

/// Counters by what they count, in the order in which that was first seen. The list is short, since a route sees few methods,
/// statuses and reasons, and bounded, since there are no more of them.
#[derive(Debug)]
#[repr(C)]
struct Counters<const N: usize> {
    entries: [Entry; N],
    more: OnceLock<Box<Counters<MORE>>>,
}

#[derive(Debug, Default)]
struct Entry {
    counted: OnceLock<Counted>,
    count: Counter,
}

/// What is counted of a route's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// Requests by how they were answered.
    Answered(MethodLabel, u16),
    /// Requests by what was decided about them.
    Decided(Verdict),
}

impl Counter {
    /// Counts `by` more. Only the worker that the counter is of may: of two additions at once one would be lost.
    pub(super) fn add(&self, by: u64) {
        self.0.store(self.get().wrapping_add(by), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Seconds {
    /// As [`Counter::add`].
    fn add(&self, by: Duration) {
        self.0.store((self.get() + by.as_secs_f64()).to_bits(), Ordering::Relaxed);
    }

    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        self.seconds.add(duration);
        let micros = duration
            .as_secs()
            .saturating_mul(1_000_000)
            .saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000)));
        if let Some(bucket) = self.buckets.get(BOUNDS_MICROS.partition_point(|bound| *bound < micros)) {
            bucket.add(1);
        }
    }

    /// The sum of all durations, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds.get()
    }

    /// How many there are in each bucket and in none of those before it; the last bucket has no bound.
    pub(super) fn buckets(&self) -> [u64; BOUNDS_MICROS.len() + 1] {
        self.buckets.each_ref().map(Counter::get)
    }
}

impl RouteSeries {
    pub(super) fn count(&self, counted: Counted) {
        self.counters.count(counted);
    }

    /// Shows every counter.
    pub(super) fn counters(&self, mut show: impl FnMut(Counted, u64)) {
        self.counters.each(&mut show);
    }
}

impl<const N: usize> Counters<N> {
    /// Counts in the entry that has this, or in the first that has nothing yet.
    fn count(&self, counted: Counted) {
        match self.entries.iter().find(|entry| *entry.counted.get_or_init(|| counted) == counted) {
            Some(entry) => entry.count.add(1),
            None => self.more.get_or_init(Box::default).count(counted),
        }
    }

    fn each(&self, show: &mut impl FnMut(Counted, u64)) {
        for entry in &self.entries {
            if let Some(counted) = entry.counted.get() {
                show(*counted, entry.count.get());
            }
        }
        if let Some(more) = self.more.get() {
            more.each(show);
        }
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self { entries: array::from_fn(|_| Entry::default()), more: OnceLock::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_takes_a_quarter_of_a_kilobyte() {
        assert_eq!(size_of::<Entry>() * USUAL, 64);
        assert_eq!(size_of::<[usize; 2]>() + size_of::<RouteSeries>(), 248);
    }
}
