//! When an issuer's keys are fetched. Pure: whoever asks says what time it is, and what chance says.

use std::time::Duration;

use tokio::time::Instant;

/// Least time between two fetches that are due by themselves.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// A shorter `max-age` counts as this, or as `refresh` where that is shorter: a header must not make us hammer an issuer.
const MAX_AGE_MIN: Duration = Duration::from_secs(60);
/// Time from a failed fetch to the next one; it doubles with each that fails.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// Where the doubling ends, if `refresh` is not shorter.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// Least time between two fetches that requests ask for.
const ASKED_MIN: Duration = Duration::from_secs(10);

/// A share, from 0 to 1, by which a fleet that was started at once gets out of step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Jitter(pub(super) f64);

/// What the configuration says about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Longest time between two fetches.
    pub(super) refresh: Duration,
    /// How long the last good keys serve when fetching fails.
    pub(super) max_stale: Duration,
}

/// When the keys of one issuer are fetched next.
#[derive(Debug)]
pub(super) struct Schedule {
    due: Instant,
    /// How many fetches have failed since the last good one.
    failures: u32,
    /// When the last good fetch ended, and for how long it said that its keys are fresh.
    good: Option<(Instant, Option<Duration>)>,
    /// Until when requests cannot ask for a fetch.
    asked_until: Option<Instant>,
}

impl Schedule {
    /// The first fetch is due at once. It was asked for by nobody.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now, failures: 0, good: None, asked_until: None }
    }

    /// When the next fetch is due by itself.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether the last fetch failed.
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Until when requests cannot ask for a fetch; `None` if they can.
    pub(super) fn asked_until(&self, now: Instant) -> Option<Instant> {
        self.asked_until.filter(|until| now < *until)
    }

    /// A fetch begins because a request has asked for it.
    pub(super) fn begin_asked(&mut self, now: Instant) {
        self.asked_until = Some(now + ASKED_MIN);
    }

    /// A fetch has brought keys.
    pub(super) fn succeeded(&mut self, now: Instant, pace: Pace, max_age: Option<Duration>, jitter: Jitter) {
        self.failures = 0;
        self.good = Some((now, max_age));
        self.due = now + ahead(pace.interval(max_age), jitter);
    }

    /// A fetch has brought nothing.
    pub(super) fn failed(&mut self, now: Instant, pace: Pace, jitter: Jitter) {
        let doubled = RETRY_MIN.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        self.due = now + ahead(doubled.min(RETRY_MAX).min(pace.interval(None)), jitter);
    }

    /// The configuration says something else about time from now on. What is overdue by it is due at once.
    pub(super) fn set_pace(&mut self, pace: Pace, jitter: Jitter) {
        if let (false, Some((at, max_age))) = (self.is_failing(), self.good) {
            self.due = at + ahead(pace.interval(max_age), jitter);
        }
    }
}

impl Pace {
    /// Longest time from a good fetch to the next one.
    fn interval(self, max_age: Option<Duration>) -> Duration {
        // However it is configured, keys must not become stale while all is well.
        let refresh = self.refresh.min(self.max_stale / 2).max(REFRESH_MIN);
        let fresh = max_age.map_or(refresh, |max_age| max_age.max(MAX_AGE_MIN.min(refresh)));
        refresh.min(fresh)
    }
}

/// Up to a tenth sooner than `interval`.
fn ahead(interval: Duration, jitter: Jitter) -> Duration {
    (interval - interval.mul_f64(jitter.0.clamp(0.0, 1.0) / 10.0)).max(REFRESH_MIN)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONE: Jitter = Jitter(0.0);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pace(refresh: u64) -> Pace {
        Pace { refresh: seconds(refresh), max_stale: seconds(24 * 3600) }
    }

    /// Time from a good fetch with this `max-age` to the next.
    fn next(refresh: u64, max_age: Option<u64>, jitter: Jitter) -> Duration {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        assert_eq!(schedule.due(), now);
        schedule.succeeded(now, pace(refresh), max_age.map(seconds), jitter);
        schedule.due() - now
    }

    #[test]
    fn max_age_shortens_refresh_down_to_a_floor() {
        for (refresh, max_age, expected) in [
            (300, None, 300),
            (300, Some(3600), 300),
            (300, Some(120), 120),
            (300, Some(10), 60),
            (300, Some(0), 60),
            (30, Some(10), 30),
            (30, Some(3600), 30),
            (1, Some(0), 1),
            (0, None, 1),
        ] {
            assert_eq!(next(refresh, max_age, NONE), seconds(expected), "refresh {refresh}, max-age {max_age:?}");
        }
        assert_eq!(next(300, None, Jitter(1.0)), seconds(270));
    }

    #[test]
    fn keys_do_not_become_stale_while_all_is_well() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        let pace = Pace { refresh: seconds(3600), max_stale: seconds(60) };
        schedule.succeeded(now, pace, None, NONE);
        assert_eq!(schedule.due() - now, seconds(30));
    }

    #[test]
    fn retries_slow_down_and_begin_anew() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        let mut waits = Vec::new();
        for _ in 0..9 {
            schedule.failed(now, pace(300), NONE);
            waits.push((schedule.due() - now).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert!(schedule.is_failing());
        schedule.succeeded(now, pace(300), None, NONE);
        assert!(!schedule.is_failing());
        schedule.failed(now, pace(300), NONE);
        assert_eq!(schedule.due() - now, seconds(1));
        (0..9).for_each(|_| schedule.failed(now, pace(5), NONE));
        assert_eq!(schedule.due() - now, seconds(5), "no slower than `refresh`");
    }

    #[test]
    fn requests_have_one_fetch_in_ten_seconds() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.succeeded(now, pace(300), None, NONE);
        assert_eq!(schedule.asked_until(now), None, "the first one does not count");
        schedule.begin_asked(now);
        assert_eq!(schedule.asked_until(now), Some(now + seconds(10)));
        schedule.succeeded(now + seconds(1), pace(300), None, NONE);
        assert!(schedule.asked_until(now + Duration::from_millis(9_999)).is_some());
        assert_eq!(schedule.asked_until(now + seconds(10)), None);
    }

    #[test]
    fn another_pace_counts_from_the_last_good_fetch() {
        let now = Instant::now();
        let mut schedule = Schedule::new(now);
        schedule.set_pace(pace(5), NONE);
        assert_eq!(schedule.due(), now);
        schedule.succeeded(now, pace(300), None, NONE);
        schedule.set_pace(pace(5), NONE);
        assert_eq!(schedule.due() - now, seconds(5));
        schedule.failed(now + seconds(5), pace(5), NONE);
        schedule.set_pace(pace(300), NONE);
        assert_eq!(schedule.due() - now, seconds(6), "a retry is not put off");
    }

    proptest! {
        #[test]
        fn a_fetch_is_ahead_of_what_is_promised(
            refresh in 0_u64..100_000, max_stale in 0_u64..100_000, max_age in proptest::option::of(0_u64..1 << 32), jitter in -1.0..2.0,
        ) {
            let now = Instant::now();
            let pace = Pace { refresh: seconds(refresh), max_stale: seconds(max_stale) };
            let mut schedule = Schedule::new(now);
            schedule.succeeded(now, pace, max_age.map(seconds), Jitter(jitter));
            let next = schedule.due() - now;
            prop_assert!(next >= REFRESH_MIN && next <= pace.refresh.max(REFRESH_MIN));
            prop_assert!(max_age.is_none_or(|max_age| next <= seconds(max_age.max(60))));
            schedule.failed(now, pace, Jitter(jitter));
            prop_assert!(schedule.due() - now >= REFRESH_MIN && schedule.due() - now <= RETRY_MAX);
        }
    }
}
