//! Tells one exchange that it has to end before it is over.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// The word to one exchange. One task listens at a time.
#[derive(Debug, Default)]
pub struct Ending {
    told: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Ending {
    /// Tells it. Telling it again changes nothing.
    pub fn tell(&self) {
        self.told.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ready once it was told.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.told.get() {
            return Poll::Ready(());
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Returns once it was told.
    pub async fn told(&self) {
        poll_fn(|cx| self.poll(cx)).await;
    }
}
