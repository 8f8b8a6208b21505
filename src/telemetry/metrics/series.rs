//! Series that one worker counts in and any thread may read.
//!
//! With a single writer no addition has to be atomic: it is a load and a store, and no other core is waited for. A reader
//! finds each value as it was a moment ago, and never a lower one than before. What most requests count in is one cache line
//! of their route's series, so that a large table costs few cache misses.

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

/// How many buckets of a histogram are near: as many as the cache line has room for.
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

/// A histogram of durations. It has a bucket for each bound, each without what is in those before it, and one for what is
/// above all bounds. Most durations are of one magnitude, so the buckets around the first one that was needed are apart.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Histogram {
    seconds: Seconds,
    /// Which bucket the first of `near` is.
    near_from: OnceLock<u32>,
    near: [Counter; NEAR],
    /// All buckets; those that are near are not used.
    far: [Counter; BOUNDS_MICROS.len() + 1],
}

/// All series of one route. Here as in what it is made of, the order is that of the memory: what most requests count in is the
/// first cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct RouteSeries {
    usual: Entry<Answered>,
    pub(super) duration: Histogram,
    seldom: Counters<SELDOM>,
}

/// What requests are told apart by, in the order in which it was first seen. The list is short, since a route sees few methods,
/// statuses and reasons, and bounded, since there are no more of them.
#[derive(Debug)]
#[repr(C)]
struct Counters<const N: usize> {
    entries: [Entry<Counted>; N],
    more: OnceLock<Box<Counters<MORE>>>,
}

#[derive(Debug)]
struct Entry<T> {
    of: OnceLock<T>,
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
        let bucket = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        let near_from = *self.near_from.get_or_init(|| u32::try_from(bucket.saturating_sub(1)).unwrap_or(0));
        if let Some(counter) = self.near(near_from, bucket).or_else(|| self.far.get(bucket)) {
            counter.add(1);
        }
    }

    /// The sum of all durations, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.seconds.get()
    }

    /// How many there are in each bucket and in none of those before it; the last bucket has no bound.
    pub(super) fn buckets(&self) -> [u64; BOUNDS_MICROS.len() + 1] {
        let near_from = self.near_from.get();
        array::from_fn(|bucket| {
            let near = near_from.and_then(|from| self.near(*from, bucket));
            near.or_else(|| self.far.get(bucket)).map_or(0, Counter::get)
        })
    }

    fn near(&self, near_from: u32, bucket: usize) -> Option<&Counter> {
        self.near.get(bucket.checked_sub(near_from as usize)?)
    }
}

impl RouteSeries {
    pub(super) fn count(&self, answered: Answered) {
        if self.usual.is_for(answered) {
            self.usual.count.add(1);
        } else {
            answered.counted().for_each(|counted| self.seldom.count(counted));
        }
    }

    /// Shows every counter; what is counted may be the same for two.
    pub(super) fn counters(&self, mut show: impl FnMut(Counted, u64)) {
        if let Some((usual, count)) = self.usual.get() {
            usual.counted().for_each(|counted| show(counted, count));
        }
        self.seldom.each(&mut show);
    }
}

impl Answered {
    fn counted(self) -> impl Iterator<Item = Counted> {
        [Some(Counted::Answered(self.method, self.status)), self.verdict.map(Counted::Decided)].into_iter().flatten()
    }
}

impl<T: Copy + PartialEq> Entry<T> {
    /// Whether this is what it counts, which is settled by who asks first.
    fn is_for(&self, asked: T) -> bool {
        *self.of.get_or_init(|| asked) == asked
    }

    fn get(&self) -> Option<(T, u64)> {
        self.of.get().map(|of| (*of, self.count.get()))
    }
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self { of: OnceLock::new(), count: Counter::default() }
    }
}

impl<const N: usize> Counters<N> {
    /// Counts in the entry for this, or in the first that is for nothing yet.
    fn count(&self, counted: Counted) {
        match self.entries.iter().find(|entry| entry.is_for(counted)) {
            Some(entry) => entry.count.add(1),
            None => self.more.get_or_init(Box::default).count(counted),
        }
    }

    fn each(&self, show: &mut impl FnMut(Counted, u64)) {
        self.entries.iter().filter_map(Entry::get).for_each(|(counted, count)| show(counted, count));
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
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn most_requests_count_in_one_cache_line() {
        assert_eq!(align_of::<RouteSeries>(), 64);
        assert_eq!(offset_of!(RouteSeries, duration) + offset_of!(Histogram, far), 64);
        // An odd number of lines, or the first ones would share few sets of a cache.
        assert_eq!(size_of::<RouteSeries>(), 5 * 64);
    }

    #[test]
    fn near_or_far_each_bucket_has_its_own_durations() {
        for first in [50, 700, 3_000_000, 40_000_000] {
            let histogram = Histogram::default();
            histogram.observe(Duration::from_micros(first));
            let mut expected = histogram.buckets();
            assert_eq!(expected.iter().sum::<u64>(), 1);
            for (bucket, bound) in BOUNDS_MICROS.into_iter().chain([u64::from(u32::MAX)]).enumerate() {
                (0..=bucket).for_each(|_| histogram.observe(Duration::from_micros(bound)));
                expected[bucket] += bucket as u64 + 1;
            }
            assert_eq!(histogram.buckets(), expected, "{first}");
        }
    }
}
