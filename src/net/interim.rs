//! Informational answers (1xx) on their way from whoever answers a request to the connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use http::{Response, StatusCode};

/// Informational answers kept for a client; further ones are dropped.
const INTERIM_MAX: usize = 8;

/// Where informational answers (1xx) to a request may be left while its final answer is awaited. Bounded: what a client
/// does not read is dropped.
#[derive(Debug, Clone, Default)]
pub struct Interim(Rc<RefCell<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    responses: VecDeque<Response<()>>,
    waker: Option<Waker>,
}

impl Waiting {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Interim {
    /// Leaves an informational answer for the client. Anything but 1xx is ignored.
    pub fn push(&self, response: Response<()>) {
        let mut waiting = self.0.borrow_mut();
        let is_interim = response.status().is_informational() && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        if is_interim && waiting.responses.len() < INTERIM_MAX {
            waiting.responses.push_back(response);
            waiting.wake();
        }
    }

    /// Those that wait.
    #[cfg(test)]
    pub(crate) fn take(&self) -> Vec<Response<()>> {
        self.0.borrow_mut().responses.drain(..).collect()
    }

    /// Makes the connection look up from waiting for its answer.
    pub(in crate::net) fn nudge(&self) {
        self.0.borrow_mut().wake();
    }

    pub(in crate::net) fn poll_next(&self, cx: &Context<'_>) -> Poll<Response<()>> {
        let mut waiting = self.0.borrow_mut();
        if let Some(response) = waiting.responses.pop_front() {
            return Poll::Ready(response);
        }
        if !waiting.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            waiting.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
