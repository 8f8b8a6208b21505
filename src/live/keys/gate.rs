//! Where requests ask for an issuer's keys. Most of those who ask while nothing can be fetched for them are answered
//! here, on their own thread and without a lock: a flood of unknown keys stays with the workers that it came to.

use std::sync::atomic::{AtomicU64, Ordering};
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
/// Whoever asks so soon after a fetch may have decided by what there was before it.
const RECENT: Duration = Duration::from_secs(1);
/// A fetch is under way.
const UNDER_WAY: u64 = u64::MAX;

/// A request that waits.
pub(super) type Ask = oneshot::Sender<Refreshed>;

/// One issuer's gate.
#[derive(Debug)]
pub(super) struct Gate {
    asks: mpsc::Sender<Ask>,
    /// Since when the other two count.
    base: Instant,
    /// When the last fetch ended, in milliseconds, or [`UNDER_WAY`].
    ended_ms: AtomicU64,
    /// Until when no request can ask for a fetch, in milliseconds.
    spent_until_ms: AtomicU64,
}

impl Gate {
    /// An open gate, and what comes through it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Ask>) {
        let (asks, asked) = mpsc::channel(WAITING_MAX);
        let (ended_ms, spent_until_ms) = (AtomicU64::new(0), AtomicU64::new(0));
        (Self { asks, base: clock::timer(), ended_ms, spent_until_ms }, asked)
    }

    /// Asks for a fetch, and waits for its end.
    pub(super) async fn ask(&self) -> Refreshed {
        if let Some(answer) = self.answer(clock::timer()) {
            return answer;
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

    /// What a request is told at once; `None` if it has to wait.
    pub(super) fn answer(&self, now: Instant) -> Option<Refreshed> {
        let now_ms = self.ms(now);
        if now_ms >= self.spent_until_ms.load(Ordering::Acquire) {
            return None;
        }
        match self.ended_ms.load(Ordering::Acquire) {
            UNDER_WAY => None,
            ended_ms if now_ms < ended_ms.saturating_add(millis(RECENT)) => Some(Refreshed::Done),
            _ => Some(Refreshed::NotNow),
        }
    }

    /// A fetch begins. `spent_until` is until when no request can ask for another one.
    pub(super) fn begin(&self, spent_until: Option<Instant>) {
        self.ended_ms.store(UNDER_WAY, Ordering::Release);
        self.spent_until_ms.store(spent_until.map_or(0, |until| self.ms(until)), Ordering::Release);
    }

    /// It has ended, and whatever it brought is in force.
    pub(super) fn end(&self, now: Instant) {
        self.ended_ms.store(self.ms(now), Ordering::Release);
    }

    fn ms(&self, at: Instant) -> u64 {
        millis(at.saturating_duration_since(self.base))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX - 1)
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
        let at = |seconds: u64| gate.answer(now + Duration::from_secs(seconds));
        assert_eq!(at(0), None, "nothing was fetched yet");
        gate.begin(Some(now + Duration::from_secs(10)));
        assert_eq!((at(0), at(9)), (None, None), "it is under way");
        gate.end(now + Duration::from_secs(3));
        assert_eq!(at(3), Some(Refreshed::Done), "what was decided before it has to be decided again");
        assert_eq!((at(4), at(9), at(10)), (Some(Refreshed::NotNow), Some(Refreshed::NotNow), None));
        assert!(asked.try_recv().is_err());
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
