//! A request's body, read from the connection as it is asked for.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::chunked::Decoded;
use super::transport::{Inbound, Remaining, Transport};
use crate::net::interim::Interim;
use crate::net::service::BodyError;

/// The body of an HTTP/1.1 request.
pub struct Body {
    transport: Rc<Transport>,
    interim: Interim,
    generation: u32,
    idle: Duration,
    /// Made the first time that the client keeps us waiting: most bodies have arrived by the time they are read.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Body {
    pub(super) fn new(transport: Rc<Transport>, interim: Interim, idle: Duration) -> Self {
        let generation = transport.inbound.borrow().generation;
        Self { transport, interim, generation, idle, deadline: None }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let inbound = &mut *self.transport.inbound.borrow_mut();
        if inbound.generation != self.generation {
            return Poll::Ready(Some(Err(BodyError::Incomplete)));
        }
        if std::mem::take(&mut inbound.awaits_continue) {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            self.interim.push(go_on);
        }
        loop {
            match inbound.next_frame() {
                Ok(Next::Frame(frame)) => {
                    if matches!(inbound.body, Remaining::Nothing) {
                        // From now on the connection itself has to see whether the client goes away.
                        self.interim.nudge();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(Next::End) => return Poll::Ready(None),
                Ok(Next::NeedsMore) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            match inbound.poll_fill_body(&self.transport.stream, cx) {
                Poll::Ready(Ok(0)) => {
                    inbound.body = Remaining::Broken;
                    return Poll::Ready(Some(Err(BodyError::Incomplete)));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    inbound.body = Remaining::Broken;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether the client has kept us waiting for too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(idle))).as_mut().poll(cx)
    }
}

enum Next {
    Frame(Frame<Bytes>),
    End,
    NeedsMore,
}

impl Inbound {
    /// The next frame of what was read ahead.
    fn next_frame(&mut self) -> Result<Next, BodyError> {
        let (next, done) = match &mut self.body {
            Remaining::Nothing => return Ok(Next::End),
            Remaining::Broken => return Err(BodyError::Incomplete),
            Remaining::Exact(_) if self.buffer.is_empty() => return Ok(Next::NeedsMore),
            Remaining::Exact(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= take as u64;
                (Next::Frame(Frame::data(self.buffer.split_to(take).freeze())), *left == 0)
            }
            Remaining::Chunked(decoder) => match decoder.decode(&mut self.buffer) {
                Ok(Decoded::Data(data)) => (Next::Frame(Frame::data(data)), false),
                Ok(Decoded::Trailers(trailers)) => (Next::Frame(Frame::trailers(trailers)), true),
                Ok(Decoded::End) => (Next::End, true),
                Ok(Decoded::NeedsMore) => return Ok(Next::NeedsMore),
                Err(error) => {
                    self.body = Remaining::Broken;
                    return Err(BodyError::Malformed(error.0));
                }
            },
        };
        if done {
            self.body = Remaining::Nothing;
        }
        Ok(next)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = this.poll_inbound(cx);
        if frame.is_ready() {
            let idle = this.idle;
            if let Some(deadline) = &mut this.deadline {
                deadline.as_mut().reset(Instant::now() + idle);
            }
            return frame;
        }
        match this.poll_deadline(cx) {
            Poll::Ready(()) => {
                this.transport.inbound.borrow_mut().body = Remaining::Broken;
                Poll::Ready(Some(Err(BodyError::Idle)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        let inbound = self.transport.inbound.borrow();
        inbound.generation == self.generation && matches!(inbound.body, Remaining::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        let inbound = self.transport.inbound.borrow();
        if inbound.generation != self.generation {
            return SizeHint::default();
        }
        match inbound.body {
            Remaining::Nothing => SizeHint::with_exact(0),
            Remaining::Exact(left) => SizeHint::with_exact(left),
            Remaining::Chunked(_) | Remaining::Broken => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}
