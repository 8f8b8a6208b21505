//! A request's body, taken from its stream as it is asked for.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::head;
use crate::net::interim::Interim;
use crate::net::service::BodyError;

/// The body of an HTTP/2 request.
pub struct Body {
    /// `None` once it has ended or failed.
    stream: Option<RecvStream>,
    interim: Interim,
    /// The client waits for `100 Continue` before it sends the body.
    awaits_continue: bool,
    /// What is still to come, if the head said how much.
    left: Option<u64>,
    idle: Duration,
    /// Made the first time that the client keeps us waiting: most bodies have arrived by the time they are read.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// The body of `length` bytes, if the head gives its length, that comes on `stream`.
    pub(super) fn new(stream: RecvStream, length: Option<u64>, interim: Interim, idle: Duration) -> Self {
        let left = if stream.is_end_stream() { Some(0) } else { length };
        let stream = (!stream.is_end_stream()).then_some(stream);
        Self { stream, interim, awaits_continue: false, left, idle, deadline: None }
    }

    /// No body.
    pub(super) fn none() -> Self {
        let (interim, idle) = (Interim::default(), Duration::MAX);
        Self { stream: None, interim, awaits_continue: false, left: Some(0), idle, deadline: None }
    }

    /// The client is asked for the body when it is first read.
    pub(super) fn awaiting_continue(mut self, awaits: bool) -> Self {
        self.awaits_continue = awaits && self.stream.is_some();
        self
    }

    fn ask_for_it(&mut self) {
        if std::mem::take(&mut self.awaits_continue) {
            let mut go_on = Response::new(());
            *go_on.status_mut() = StatusCode::CONTINUE;
            self.interim.push(go_on);
        }
    }

    /// The next piece, or the trailers, or the end.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let data = loop {
            match ready!(stream.poll_data(cx)) {
                // Of the frame that does nothing but end the stream.
                Some(Ok(data)) if data.is_empty() => {}
                data => break data,
            }
        };
        let next = match data {
            Some(data) => Some(data.map_err(explain).and_then(|data| taken(stream, &mut self.left, data))),
            None => ready!(stream.poll_trailers(cx)).map_err(explain).and_then(checked).transpose(),
        };
        let goes_on = matches!(&next, Some(Ok(frame)) if frame.is_data()) && !stream.is_end_stream();
        if !goes_on {
            self.stream = None;
        }
        Poll::Ready(next)
    }

    /// Whether the client has kept us waiting for too long.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        self.deadline.get_or_insert_with(|| Box::pin(sleep(idle))).as_mut().poll(cx)
    }
}

/// Whoever asks for the next piece has dealt with the one before: the client may send as much again.
fn taken(stream: &mut RecvStream, left: &mut Option<u64>, data: Bytes) -> Result<Frame<Bytes>, BodyError> {
    stream.flow_control().release_capacity(data.len()).map_err(explain)?;
    if let Some(left) = left {
        // `h2` has made sure of it.
        *left = left.saturating_sub(data.len() as u64);
    }
    Ok(Frame::data(data))
}

fn checked(trailers: Option<HeaderMap>) -> Result<Option<Frame<Bytes>>, BodyError> {
    let Some(trailers) = trailers else { return Ok(None) };
    match head::check_fields(&trailers) {
        Ok(()) => Ok(Some(Frame::trailers(trailers))),
        Err(_) => Err(BodyError::Malformed("trailers that HTTP does not allow")),
    }
}

fn explain(error: h2::Error) -> BodyError {
    if error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR) {
        return BodyError::Malformed("not as long as its Content-Length, or frames that HTTP/2 does not allow");
    }
    match error.into_io() {
        Some(error) => BodyError::Io(error),
        None => BodyError::Incomplete,
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.ask_for_it();
        let frame = this.poll_stream(cx);
        if frame.is_ready() {
            let idle = this.idle;
            if let Some(deadline) = &mut this.deadline {
                deadline.as_mut().reset(Instant::now() + idle);
            }
            return frame;
        }
        ready!(this.poll_deadline(cx));
        this.stream = None;
        Poll::Ready(Some(Err(BodyError::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size_hint", &self.size_hint()).finish_non_exhaustive()
    }
}
