//! Bodies on their way through the proxy: the client's, counted and held to its limit, and the answer's, whose end is
//! the end of the request.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};

use super::authority::Pieces;
use super::exchanges::Place;
use super::record::Record;
use super::serving::Serving;
use crate::core::fields::{Lines, X_REQUEST_ID};
use crate::core::rejection::{Reason, Rejection};
use crate::net::service::{Answer, BodyError, RequestBody};
use crate::net::tunnel::{Traffic, Tunnel};
use crate::upstream::{ResponseBody, ResponseBodyError, Switched};

/// How far a client's body came, seen from both sides.
#[derive(Debug, Default)]
pub struct Upload {
    bytes: Cell<u64>,
}

impl Upload {
    /// Bytes read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }
}

/// A client's body on its way to a backend; nothing if there is none. Boxed: it is large, and handed on several times.
pub struct UploadBody(Option<Box<Content>>);

struct Content {
    inner: RequestBody,
    serving: Rc<Serving>,
    upload: Rc<Upload>,
    bytes_max: Option<u64>,
}

/// Why a client's body did not reach its backend whole.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    /// It is longer than the route allows.
    #[error("the request body is longer than allowed")]
    TooLarge,
    /// It broke off, or broke its framing.
    #[error(transparent)]
    Body(#[from] BodyError),
}

impl UploadError {
    /// What the client is told, if it is still there to be told.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        let reason = match self {
            Self::TooLarge => Reason::BodyTooLarge,
            Self::Body(_) => Reason::RequestMalformed,
        };
        Rejection::new(reason, self.to_string())
    }
}

impl UploadBody {
    pub(super) fn new(inner: RequestBody, serving: &Rc<Serving>, bytes_max: Option<u64>) -> Self {
        if inner.is_end_stream() {
            return Self(None);
        }
        Self(Some(Box::new(Content { inner, serving: Rc::clone(serving), upload: Rc::default(), bytes_max })))
    }

    pub(super) fn upload(&self) -> Option<Rc<Upload>> {
        self.0.as_ref().map(|content| Rc::clone(&content.upload))
    }
}

impl Content {
    fn check(&self, mut frame: Frame<Bytes>) -> Result<Frame<Bytes>, UploadError> {
        if let Some(data) = frame.data_ref() {
            let bytes = self.upload.bytes() + data.len() as u64;
            self.upload.bytes.set(bytes);
            if self.bytes_max.is_some_and(|max| bytes > max) {
                return Err(UploadError::TooLarge);
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            self.serving.policy.clean_trailers(trailers);
        }
        Ok(frame)
    }
}

impl Body for UploadBody {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(content) = &mut self.0 else { return Poll::Ready(None) };
        let frame = Pin::new(&mut content.inner).poll_frame(cx);
        frame.map(|frame| frame.map(|frame| frame.map_err(UploadError::from).and_then(|frame| content.check(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|content| content.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or(SizeHint::with_exact(0), |content| content.inner.size_hint())
    }
}

/// An answer's body. When it ends, or is dropped, the request is over and goes into log and metrics.
pub struct AnswerBody {
    kind: Kind,
    /// Once it has had to wait, if it ends with the caller's client. Before the record, which is what the end is told to.
    place: Option<Place>,
    record: Box<Record>,
}

enum Kind {
    Own(Option<Bytes>),
    Upstream(ResponseBody),
    Pieces(Pieces),
}

/// Why an answer broke off. The client has to see that it did.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// The backend's part of it did.
    #[error(transparent)]
    Upstream(ResponseBodyError),
    /// The client whose token let the request in is not let in any more.
    #[error("the client of the token does not stand any more")]
    Ended,
}

impl AnswerBody {
    pub(super) fn own(bytes: Bytes, record: Box<Record>) -> Self {
        Self { kind: Kind::Own(Some(bytes).filter(|bytes| !bytes.is_empty())), place: None, record }
    }

    pub(super) fn pieces(pieces: Pieces, record: Box<Record>) -> Self {
        Self { kind: Kind::Pieces(pieces), place: None, record }
    }

    pub(super) fn upstream(body: ResponseBody, record: Box<Record>) -> Self {
        Self { kind: Kind::Upstream(body), place: None, record }
    }
}

impl Answer for AnswerBody {
    /// The request is over with the body, and so with the tunnel.
    fn take_tunnel(&mut self) -> Option<Tunnel> {
        let Kind::Upstream(body) = &mut self.kind else { return None };
        let Switched { protocol, backend } = body.take_switched()?;
        let traffic: Rc<Traffic> = Rc::default();
        self.record.traffic = Some(Rc::clone(&traffic));
        let expires_in = self.record.expires_in();
        self.place = self.record.watch();
        let ending = self.place.as_ref().map_or_else(Rc::default, |place| Rc::clone(place.ending()));
        Some(Tunnel { backend, protocol, expires_in, ending, traffic })
    }

    fn take_lines(&mut self) -> Option<Lines> {
        let Kind::Upstream(body) = &mut self.kind else { return None };
        body.take_lines()
    }

    fn field(&self) -> Option<(&'static HeaderName, &[u8])> {
        Some((&X_REQUEST_ID, self.record.request_id.as_bytes()))
    }

    fn write_whole(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> bool {
        let Kind::Upstream(body) = &mut self.kind else { return false };
        let before = out.len();
        let is_whole = body.write_whole(out, bytes_max);
        self.record.bytes_out += (out.len() - before) as u64;
        is_whole
    }

    /// The caller's client is watched from the first time on that somebody has to wait: most answers do not have to be waited for,
    /// and none of these lasts.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.place.is_none() {
            self.place = self.record.watch();
        }
        self.place.as_ref().map_or(Poll::Pending, |place| place.ending().poll(cx))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if this.place.is_some() && this.poll_ended(cx).is_ready() {
            // A feed ends by itself when its reader falls, and whichever of the two is seen first, it ends alike.
            let is_feed = matches!(this.kind, Kind::Pieces(_));
            return Poll::Ready((!is_feed).then_some(Err(AnswerError::Ended)));
        }
        let frame = match &mut this.kind {
            Kind::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Upstream(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(AnswerError::Upstream)))
            }
            Kind::Pieces(pieces) => pieces.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        };
        if frame.is_pending() && this.place.is_none() {
            // It cannot have been told as yet; from now on it wakes this task.
            let _ = this.poll_ended(cx);
        }
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            this.record.bytes_out += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Own(bytes) => bytes.is_none(),
            Kind::Upstream(body) => body.is_end_stream(),
            Kind::Pieces(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::Upstream(body) => body.size_hint(),
            Kind::Pieces(_) => SizeHint::default(),
        }
    }
}
