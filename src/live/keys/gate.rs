//! Where requests ask for an issuer's keys. Most of those who ask while nothing can be fetched for them are answered
//! here, on their own thread and without a lock: a flood of unknown keys stays with the workers that it came to.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Refreshed;
use crate::clock;

/// Most requests that wait for one issuer's keys at a time.
const WAITING_MAX: usize = 1024;
/// Longest time that one waits.
const WAIT_MAX: Duration = Duration::from_secs(5);

/// A request that waits.
pub(super) type Ask = oneshot::Sender<Refreshed>;

/// One issuer's gate.
#[derive(Debug)]
pub(super) struct Gate {
    asks: mpsc::Sender<Ask>,
    /// Whether a fetch is under way, which whoever asks can wait for.
    under_way: AtomicBool,
    /// Until when no request can ask for another fetch, in milliseconds since `base`.
    spent_until_ms: AtomicU64,
    base: Instant,
}

impl Gate {
    /// An open gate, and what comes through it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let (under_way, spent_until_ms) = (AtomicBool::new(false), AtomicU64::new(0));
        (Self { asks, under_way, spent_until_ms, base: clock::timer() }, asked)
    }

    /// Asks for a fetch, and waits for its end.
    pub(super) async fn ask(&self) -> Refreshed {
        if self.is_shut(clock::timer()) {
            return Refreshed::NotNow;
        }
        let (reply, refreshed) = oneshot::channel();
        match self.asks.try_send(reply) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Refreshed::Busy,
            Err(TrySendError::Closed(_)) => return Refreshed::NotNow,
        }
        match timeout(WAIT_MAX, refreshed).await {
            Ok(Ok(refreshed)) => refreshed,
            // A reload has put other keys in force.
            Ok(Err(_)) => Refreshed::Done,
            Err(_) => Refreshed::NotNow,
        }
    }

    /// Whether there is no fetch to wait for, and none to be had.
    pub(super) fn is_shut(&self, now: Instant) -> bool {
        !self.under_way.load(Ordering::Acquire) && self.ms(now) < self.spent_until_ms.load(Ordering::Acquire)
    }

    /// A fetch begins. `spent_until` is until when no request can ask for another one.
    pub(super) fn begin(&self, spent_until: Option<Instant>) {
        self.under_way.store(true, Ordering::Release);
        self.spent_until_ms.store(spent_until.map_or(0, |until| self.ms(until)), Ordering::Release);
    }

    /// It has ended, and whatever it brought is in force.
    pub(super) fn end(&self) {
        self.under_way.store(false, Ordering::Release);
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.base).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Poll;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_a_fetch_that_could_help_is_waited_for() {
        let (gate, mut asked) = Gate::new();
        let now = clock::timer();
        let is_shut = |seconds: u64| gate.is_shut(now + Duration::from_secs(seconds));
        assert!(!is_shut(0), "nothing was fetched yet");
        gate.begin(Some(now + Duration::from_secs(10)));
        assert!(!is_shut(9), "it is under way");
        gate.end();
        assert!(is_shut(0) && is_shut(9) && !is_shut(10));
        assert_eq!(gate.ask().await, Refreshed::NotNow);
        assert!(asked.try_recv().is_err(), "it stays with whoever asks");
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_bounded_in_number_and_time() {
        let (gate, asked) = Gate::new();
        let began = clock::timer();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| Box::pin(gate.ask())).collect();
        for one in &mut waiting {
            assert!(poll_fn(|context| Poll::Ready(one.as_mut().poll(context))).await.is_pending());
        }
        assert_eq!(gate.ask().await, Refreshed::Busy);
        assert_eq!(clock::timer(), began, "nobody waited for that");
        drop(asked);
        assert_eq!(gate.ask().await, Refreshed::NotNow, "nobody is there any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fetch_that_does_not_end_keeps_nobody() {
        let (gate, _asked) = Gate::new();
        let began = clock::timer();
        assert_eq!(gate.ask().await, Refreshed::NotNow);
        assert_eq!(clock::timer() - began, WAIT_MAX);
    }
}
