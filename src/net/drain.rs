//! The end of a worker: told once, seen by every connection.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// Tells the connections of one worker, and their streams, that no further requests are wanted on them. Clones are told
/// together.
#[derive(Debug, Default, Clone)]
pub struct Drain(Rc<Told>);

#[derive(Debug, Default)]
struct Told {
    started: Cell<bool>,
    notify: Notify,
    seats: RefCell<Seats>,
}

/// Whom to wake, by the number of their seat.
#[derive(Debug, Default)]
struct Seats {
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// A place among those who are told, kept for as long as a connection lasts: to wait for a request then costs a comparison,
/// and not a place in a list that is taken and given up with every one.
#[derive(Debug)]
pub struct Seat {
    drain: Drain,
    number: usize,
}

impl Drain {
    /// From now on every answer ends its connection, and connections without a request end at once.
    pub fn start(&self) {
        self.0.started.set(true);
        self.0.notify.notify_waiters();
        let wakers: Vec<Waker> = self.0.seats.borrow_mut().wakers.iter_mut().filter_map(Option::take).collect();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Whether [`Drain::start`] was called.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.0.started.get()
    }

    /// Returns once [`Drain::start`] is called, or at once if it has been.
    pub async fn started(&self) {
        let notified = self.0.notify.notified();
        if !self.is_started() {
            notified.await;
        }
    }

    /// A place for one task.
    #[must_use]
    pub fn seat(&self) -> Seat {
        let seats = &mut *self.0.seats.borrow_mut();
        let number = seats.free.pop().unwrap_or_else(|| {
            seats.wakers.push(None);
            seats.wakers.len() - 1
        });
        Seat { drain: self.clone(), number }
    }
}

impl Seat {
    /// Ready once [`Drain::start`] was called.
    pub fn poll_started(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.is_started() {
            return Poll::Ready(());
        }
        if let Some(seat) = self.drain.0.seats.borrow_mut().wakers.get_mut(self.number)
            && !seat.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            *seat = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let seats = &mut *self.drain.0.seats.borrow_mut();
        if let Some(seat) = seats.wakers.get_mut(self.number) {
            *seat = None;
            seats.free.push(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn whoever_has_a_seat_is_told_and_seats_are_used_again() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let drain = Drain::default();
            for _ in 0..100 {
                let (first, second) = (drain.seat(), drain.seat());
                assert!(poll_fn(|cx| Poll::Ready(first.poll_started(cx))).await.is_pending());
                assert_ne!(first.number, second.number);
            }
            assert_eq!(drain.0.seats.borrow().wakers.len(), 2);
            let seats = [drain.seat(), drain.seat()];
            let told =
                seats.map(|seat| tokio::task::spawn_local(async move { poll_fn(|cx| seat.poll_started(cx)).await }));
            tokio::task::yield_now().await;
            drain.start();
            for task in told {
                task.await.unwrap();
            }
            assert!(poll_fn(|cx| Poll::Ready(drain.seat().poll_started(cx))).await.is_ready());
        });
    }
}
