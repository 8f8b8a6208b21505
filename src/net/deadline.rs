//! A time limit that is set anew for every message, and the timer behind it that is not.
//!
//! A timer that is made, put in its place among all others and taken out again costs more than all else that a message
//! needs the clock for, and hardly any ever fires. This one stays where it is until it does, and looks then whether the limit
//! has been moved meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

/// A time limit. It is made with no timer; the first that has to be waited for makes it. When the timer fires after all, the task
/// of the last call is woken once for nothing.
#[derive(Debug, Default)]
pub struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    /// Ready once `at` has passed. Each call may name another moment; the task of the last call is woken.
    pub fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn it_is_over_at_the_last_moment_that_was_named_whether_earlier_or_later() {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (start, mut deadline) = (Instant::now(), Deadline::default());
            let at = |seconds| start + Duration::from_secs(seconds);
            for seconds in [10, 30, 20] {
                let first = poll_fn(|cx| Poll::Ready(deadline.poll(cx, at(seconds)))).await;
                assert!(first.is_pending());
            }
            poll_fn(|cx| deadline.poll(cx, at(20))).await;
            assert_eq!(start.elapsed().as_secs(), 20);
            poll_fn(|cx| deadline.poll(cx, at(50))).await;
            assert_eq!(start.elapsed().as_secs(), 50);
        });
    }
}
