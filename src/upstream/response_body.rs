//! The backend's body on its way to the client. What a response holds, its connection and its place among the outstanding
//! requests, it gives back here when it ends.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::endpoint::Lease;
use super::error::BoxError;
use super::framing::Framing;
use super::headers::clean_response_trailers;
use super::http2::Place;
use super::link::Incoming;
use super::plan::Plan;
use super::request_body::{Stage, Upload};
use super::upgrade::Switched;
use crate::core::fields::Lines;
use crate::net::buffers;

/// The body of a forwarded response.
///
/// Read to its end it gives its connection back to the pool. Dropped before, it closes the connection, or resets its
/// stream of a shared one, and the backend sees that nobody listens any more.
#[derive(Debug)]
pub struct ResponseBody {
    inner: Inner,
    /// How long the head was waited for.
    pub(super) waited: Duration,
}

#[derive(Debug)]
enum Inner {
    /// Boxed: a response is handed on several times.
    Streamed(Box<Streamed>),
    Full(Option<Bytes>),
    /// None: the connection is no longer one of HTTP. It counts as an outstanding request while the body is kept.
    Switched(Box<(Option<Switched>, Option<Place>, Lease)>),
}

#[derive(Debug)]
struct Streamed {
    /// `None` once it has ended.
    incoming: Option<Incoming>,
    lines: Option<Lines>,
    held: Option<Held>,
    upload: Option<Rc<Upload>>,
    silence: Silence,
    /// What a short one was read into, once it has ended: somebody may still hold the last piece.
    used: BytesMut,
}

/// What a response holds until it has ended.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) framing: Framing,
    pub(super) lease: Lease,
}

/// Measures how long a backend has been silent. The timer is made when a body has to be waited for: most small ones come
/// with the head. It is not moved with every frame but looks, when it fires, whether there was one.
#[derive(Debug)]
struct Silence {
    max: Duration,
    since: Instant,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a response body broke off. The client has to see that it did.
#[derive(Debug)]
pub enum ResponseBodyError {
    /// The backend closed the connection, reset the stream, or sent no HTTP.
    Aborted(BoxError),
    /// The backend was silent for too long.
    Idle,
}

impl ResponseBody {
    /// A body that is there already.
    #[must_use]
    pub fn full(content: Bytes) -> Self {
        Self { inner: Inner::Full((!content.is_empty()).then_some(content)), waited: Duration::ZERO }
    }

    /// No body, but what the backend's connection has become.
    pub(super) fn switched(connection: Switched, place: Option<Place>, lease: Lease, plan: &Plan) -> Self {
        Self { inner: Inner::Switched(Box::new((Some(connection), place, lease))), waited: plan.started.elapsed() }
    }

    /// The connection to the backend, if that has switched protocols. Keep the body while it is used.
    pub fn take_switched(&mut self) -> Option<Switched> {
        match &mut self.inner {
            Inner::Switched(held) => held.0.take(),
            Inner::Streamed(_) | Inner::Full(_) => None,
        }
    }

    /// The fields of the response that stand in the bytes that they came in, if they do. They are taken once.
    pub fn take_lines(&mut self) -> Option<Lines> {
        match &mut self.inner {
            Inner::Streamed(streamed) => streamed.lines.take(),
            Inner::Full(_) | Inner::Switched(_) => None,
        }
    }

    /// The same, to be changed.
    pub fn lines_mut(&mut self) -> Option<&mut Lines> {
        match &mut self.inner {
            Inner::Streamed(streamed) => streamed.lines.as_mut(),
            Inner::Full(_) | Inner::Switched(_) => None,
        }
    }

    /// Writes all of it behind what is in `out`, if it is of a known length up to `bytes_max` and has come with its head; it has
    /// ended then. Whether it did.
    pub fn write_whole(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> bool {
        match &mut self.inner {
            Inner::Streamed(streamed) => streamed.write_whole(out, bytes_max),
            Inner::Full(_) | Inner::Switched(_) => false,
        }
    }

    /// How long its head was waited for, from when the request was given to the upstream.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    pub(super) fn streamed(incoming: Incoming, lines: Option<Lines>, held: Held, plan: &Plan) -> Self {
        let (now, upload) = (Instant::now(), plan.upload.clone());
        let silence = Silence { max: plan.limits.idle, since: now, timer: None };
        let is_empty = incoming.is_end_stream();
        let mut streamed =
            Streamed { incoming: Some(incoming), lines, held: Some(held), upload, silence, used: BytesMut::new() };
        if is_empty {
            streamed.end();
        }
        let waited = now.saturating_duration_since(plan.started);
        Self { inner: Inner::Streamed(Box::new(streamed)), waited }
    }
}

impl Streamed {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(incoming).poll_frame(context) else {
            ready!(self.silence.poll(self.upload.as_deref(), context));
            self.break_off();
            return Poll::Ready(Some(Err(ResponseBodyError::Idle)));
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(self.passed(frame))),
            Some(Err(error)) => {
                self.break_off();
                Some(Err(ResponseBodyError::Aborted(error)))
            }
            None => {
                self.end();
                None
            }
        })
    }

    fn write_whole(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> bool {
        let Some(Incoming::Http1(body)) = &mut self.incoming else { return false };
        let is_whole = body.write_whole(out, bytes_max);
        if is_whole {
            self.end();
        }
        is_whole
    }

    fn passed(&mut self, mut frame: Frame<Bytes>) -> Frame<Bytes> {
        if let Some(trailers) = frame.trailers_mut() {
            clean_response_trailers(trailers);
        }
        // Whoever reads may stop when it knows that nothing follows.
        if frame.is_trailers() || self.incoming.as_ref().is_none_or(Body::is_end_stream) {
            self.end();
        } else {
            self.silence.since = Instant::now();
        }
        frame
    }

    /// Gives everything back. A connection that still has to send the request's body is closed by its drop: a backend
    /// that has answered in full wants no more of it.
    fn end(&mut self) {
        let (incoming, held) = (self.incoming.take(), self.held.take());
        if let (Some(Incoming::Http1(mut body)), Some(Held { framing: Framing::Reusable, lease })) = (incoming, held) {
            self.used = body.take_buffer();
            lease.endpoint.pool.put(body.into_connection(), self.silence.since);
        }
    }

    fn break_off(&mut self) {
        (self.incoming, self.held) = (None, None);
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        // They stand in it, if nobody has taken them.
        self.lines = None;
        buffers::was_read(&mut self.used);
    }
}

impl Silence {
    /// Ready when the backend has been silent for too long.
    fn poll(&mut self, upload: Option<&Upload>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let deadline = self.since(upload) + self.max;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            ready!(timer.as_mut().poll(context));
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// The backend is not silent while it takes the request's body, and not while there is none to take.
    fn since(&self, upload: Option<&Upload>) -> Instant {
        match upload.map(Upload::stage) {
            None => self.since,
            Some(Stage::Client) => Instant::now(),
            Some(Stage::Backend(since) | Stage::Ended(since)) => self.since.max(since),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseBodyError>>> {
        match &mut self.get_mut().inner {
            Inner::Streamed(streamed) => streamed.poll(context),
            Inner::Full(content) => Poll::Ready(content.take().map(|content| Ok(Frame::data(content)))),
            Inner::Switched(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Streamed(streamed) => streamed.incoming.is_none(),
            Inner::Full(content) => content.is_none(),
            Inner::Switched(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Streamed(streamed) => streamed.incoming.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint),
            Inner::Full(content) => SizeHint::with_exact(content.as_ref().map_or(0, |content| content.len() as u64)),
            Inner::Switched(_) => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Display for ResponseBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted(_) => "the backend broke off its answer",
            Self::Idle => "the backend fell silent within its answer",
        })
    }
}

impl Error for ResponseBodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Aborted(error) => Some(&**error),
            Self::Idle => None,
        }
    }
}
