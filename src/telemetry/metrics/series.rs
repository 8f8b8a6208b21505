//! Series that one worker counts in and any thread may read.
//!
//! With a single writer no addition has to be atomic: it is a load and a store, and no other core is waited for. A reader
//! finds each value as it was a moment ago, and never a lower one than before. What most requests count in is one cache line
//! of their route's series, and such lines lie side by side, so that a large table costs few cache misses.

use std::array;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use once_cell::race::OnceBox;

use super::labels::{MethodLabel, Verdict};

/// Upper bounds of the buckets of a histogram, in microseconds: from a local refusal (100 µs) to the longest wait that is
/// usual (30 s).
pub(super) const BOUNDS_MICROS: [u64; 17] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

/// One for each bound, each without what is in those before it, and one for what is above all bounds.
const BUCKETS: usize = BOUNDS_MICROS.len() + 1;
/// How many buckets of a route are near: as many as the cache line has room for.
const NEAR: usize = 3;
/// How many counters a route has room for beside the usual one.
const SELDOM: usize = 3;
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
pub(super) struct Histogram {
    seconds: Seconds,
    buckets: [Counter; BUCKETS],
}

/// All series of one route: here is what most requests count in. The rest is made when it is needed, if ever.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct RouteSeries {
    first: OnceLock<First>,
    /// Requests that were answered as the first one.
    usual: Counter,
    seconds: Seconds,
    /// Buckets around that of the first request: most durations are of one magnitude.
    near: [Counter; NEAR],
    rest: OnceBox<Rest>,
}

/// What the first request of a route was.
#[derive(Debug)]
struct First {
    answered: Answered,
    /// Which bucket the first of `near` is.
    near_from: u8,
}

/// One for a route, and not in a block: few routes are answered in many ways, and where all are, their number is bounded.
#[derive(Debug, Default)]
struct Rest {
    /// All buckets; those that are near are not used.
    far: [Counter; BUCKETS],
    seldom: Counters<SELDOM>,
}

/// What requests are told apart by, in the order in which it was first seen. The list is short, since a route sees few methods,
/// statuses and reasons, and bounded, since there are no more of them.
#[derive(Debug)]
struct Counters<const N: usize> {
    entries: [Entry; N],
    more: OnceLock<Box<Counters<MORE>>>,
}

#[derive(Debug, Default)]
struct Entry {
    of: OnceLock<Counted>,
    count: Counter,
}

/// A request of a route that was answered. All of it together tells only the usual ones apart: how many others there could be is
/// a product, of which clients choose the factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) method: MethodLabel,
    pub(super) status: u16,
    /// `None` where nothing was to be decided.
    pub(super) verdict: Option<Verdict>,
}

/// What requests of a route are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    /// How they were answered.
    Answered(MethodLabel, u16),
    /// What was decided about them.
    Decided(Verdict),
}

/// Durations, added up.
#[derive(Default)]
pub(super) struct Durations {
    /// Their sum, in seconds.
    pub(super) seconds: f64,
    /// How many there are in each bucket and in none of those before it.
    pub(super) buckets: [u64; BUCKETS],
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

/// The first bucket whose bound is not exceeded.
fn bucket_of(duration: Duration) -> usize {
    let micros =
        duration.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000)));
    BOUNDS_MICROS.partition_point(|bound| *bound < micros)
}

impl Histogram {
    pub(super) fn observe(&self, duration: Duration) {
        self.seconds.add(duration);
        if let Some(bucket) = self.buckets.get(bucket_of(duration)) {
            bucket.add(1);
        }
    }

    pub(super) fn durations(&self) -> Durations {
        let bucket = |at: usize| self.buckets.get(at).map_or(0, Counter::get);
        Durations { seconds: self.seconds.get(), buckets: array::from_fn(bucket) }
    }
}

impl RouteSeries {
    pub(super) fn count(&self, answered: Answered, duration: Duration) {
        let bucket = bucket_of(duration);
        let first = self.first.get_or_init(|| First::new(answered, bucket));
        self.seconds.add(duration);
        if let Some(counter) = self.bucket(first, bucket).or_else(|| self.rest().far.get(bucket)) {
            counter.add(1);
        }
        if first.answered == answered {
            self.usual.add(1);
        } else {
            answered.counted().for_each(|counted| self.rest().seldom.count(counted));
        }
    }

    /// Shows every counter; what is counted may be the same for two.
    pub(super) fn counters(&self, mut show: impl FnMut(Counted, u64)) {
        if let Some(first) = self.first.get() {
            let count = self.usual.get();
            first.answered.counted().for_each(|counted| show(counted, count));
        }
        if let Some(rest) = self.rest.get() {
            rest.seldom.each(&mut show);
        }
    }

    pub(super) fn durations(&self) -> Durations {
        let first = self.first.get();
        let bucket = |at: usize| {
            let near = first.and_then(|first| self.bucket(first, at));
            near.or_else(|| self.rest.get()?.far.get(at)).map_or(0, Counter::get)
        };
        Durations { seconds: self.seconds.get(), buckets: array::from_fn(bucket) }
    }

    /// The bucket, if it is near.
    fn bucket(&self, first: &First, bucket: usize) -> Option<&Counter> {
        self.near.get(bucket.checked_sub(usize::from(first.near_from))?)
    }

    fn rest(&self) -> &Rest {
        self.rest.get_or_init(Box::default)
    }
}

impl First {
    fn new(answered: Answered, bucket: usize) -> Self {
        Self { answered, near_from: u8::try_from(bucket.saturating_sub(1)).unwrap_or(0) }
    }
}

impl Answered {
    fn counted(self) -> impl Iterator<Item = Counted> {
        [Some(Counted::Answered(self.method, self.status)), self.verdict.map(Counted::Decided)].into_iter().flatten()
    }
}

impl<const N: usize> Counters<N> {
    /// Counts in the entry for this, or in the first that is for nothing yet.
    fn count(&self, counted: Counted) {
        match self.entries.iter().find(|entry| *entry.of.get_or_init(|| counted) == counted) {
            Some(entry) => entry.count.add(1),
            None => self.more.get_or_init(Box::default).count(counted),
        }
    }

    fn each(&self, show: &mut impl FnMut(Counted, u64)) {
        let used = self.entries.iter().filter_map(|entry| Some((*entry.of.get()?, entry.count.get())));
        used.for_each(|(counted, count)| show(counted, count));
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
    use http::Method;

    use super::*;

    fn answered(status: u16) -> Answered {
        Answered { method: MethodLabel::of(&Method::GET), status, verdict: None }
    }

    #[test]
    fn most_requests_count_in_one_cache_line() {
        assert_eq!((align_of::<RouteSeries>(), size_of::<RouteSeries>()), (64, 64));
        let (series, answered) = (RouteSeries::default(), answered(200));
        for micros in [700, 300, 2_000] {
            series.count(answered, Duration::from_micros(micros));
        }
        assert!(series.rest.get().is_none());
        series.count(Answered { status: 404, ..answered }, Duration::from_micros(700));
        assert!(series.rest.get().is_some());
    }

    #[test]
    fn near_or_far_each_bucket_has_its_own_durations() {
        let answered = answered(200);
        for first in [50, 700, 3_000_000, 40_000_000] {
            let series = RouteSeries::default();
            series.count(answered, Duration::from_micros(first));
            let mut expected = series.durations().buckets;
            assert_eq!(expected.iter().sum::<u64>(), 1);
            for (bucket, bound) in BOUNDS_MICROS.into_iter().chain([u64::from(u32::MAX)]).enumerate() {
                (0..=bucket).for_each(|_| series.count(answered, Duration::from_micros(bound)));
                expected[bucket] += bucket as u64 + 1;
            }
            assert_eq!(series.durations().buckets, expected, "{first}");
        }
    }
}
