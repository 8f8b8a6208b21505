//! Sending answers, as they come and no faster than the client takes them.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, Response, StatusCode, Version, response};
use http_body::{Body, Frame};
use tokio::time::timeout;

use crate::net::date;
use crate::net::service::Answer;

/// Fields about a connection of HTTP/1.1, which HTTP/2 does not allow (RFC 9113 section 8.2.2).
const CONNECTION_SPECIFIC: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
];

/// How much of an answer the client gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// None, whatever its fields say: of an answer to HEAD, 204, 304, and nothing is left of one that is empty.
    None,
    /// So many bytes, or as many as come.
    Some(Option<u64>),
}

/// Why an answer was not sent whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// The client has reset the stream or closed the connection.
    Gone,
    /// The body broke off, or is not as long as its head says.
    Broken,
    /// The client takes nothing more.
    Stalled,
}

/// What there is to send of a body.
pub(super) fn content<B: Body>(is_head: bool, status: StatusCode, body: &B) -> Content {
    let bodiless = is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    if bodiless { Content::None } else { Content::Some(length(body)) }
}

fn length<B: Body>(body: &B) -> Option<u64> {
    if body.is_end_stream() { Some(0) } else { body.size_hint().exact() }
}

/// The head of an answer. Framing and connection fields are ours.
pub(super) fn head(parts: response::Parts, content: Content) -> Response<()> {
    let mut parts = parts;
    clean(&mut parts.headers);
    parts.version = Version::HTTP_2;
    match content {
        Content::None if parts.status == StatusCode::NO_CONTENT => drop(parts.headers.remove(CONTENT_LENGTH)),
        Content::None => {}
        Content::Some(None) => drop(parts.headers.remove(CONTENT_LENGTH)),
        Content::Some(Some(length)) => drop(parts.headers.insert(CONTENT_LENGTH, length.into())),
    }
    if !parts.headers.contains_key(DATE) {
        parts.headers.insert(DATE, date::now());
    }
    Response::from_parts(parts, ())
}

/// Takes out what concerns a connection of HTTP/1.1.
pub(super) fn clean(headers: &mut HeaderMap) {
    for name in &CONNECTION_SPECIFIC {
        headers.remove(name);
    }
}

/// An answer's body on its way. Whoever drops it before the end resets the stream.
pub(super) struct Sender<'a, B> {
    pub(super) stream: &'a mut SendStream<Bytes>,
    pub(super) body: &'a mut B,
    /// What is still to be sent, if the head said how much.
    pub(super) left: Option<u64>,
    pub(super) idle: Duration,
}

impl<B: Answer> Sender<'_, B> {
    /// Sends the body to its end.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        while let Some(frame) = self.next_frame().await? {
            match frame.into_data() {
                Ok(data) => {
                    self.left = less(self.left, data.len())?;
                    let is_last = self.body.is_end_stream();
                    if is_last {
                        self.check_end()?;
                    }
                    self.send(data, is_last).await?;
                    if is_last {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    self.check_end()?;
                    let trailers = frame.into_trailers().unwrap_or_default();
                    return self.stream.send_trailers(trailers).map_err(|_| Failure::Broken);
                }
            }
        }
        self.check_end()?;
        self.stream.send_data(Bytes::new(), true).map_err(|_| Failure::Gone)
    }

    async fn next_frame(&mut self) -> Result<Option<Frame<Bytes>>, Failure> {
        poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *self.body).poll_frame(cx) {
                return Poll::Ready(frame.transpose().map_err(|_| Failure::Broken));
            }
            let _ = ready!(self.stream.poll_reset(cx));
            Poll::Ready(Err(Failure::Gone))
        })
        .await
    }

    fn check_end(&self) -> Result<(), Failure> {
        if self.left.is_some_and(|left| left > 0) { Err(Failure::Broken) } else { Ok(()) }
    }

    async fn send(&mut self, mut data: Bytes, is_last: bool) -> Result<(), Failure> {
        if data.is_empty() && is_last {
            return self.stream.send_data(data, true).map_err(|_| Failure::Gone);
        }
        while !data.is_empty() {
            let room = timeout(self.idle, poll_fn(|cx| self.poll_room(cx, data.len()))).await;
            let room = room.map_err(|_| Failure::Stalled)??;
            let piece = data.split_to(room.min(data.len()));
            self.stream.send_data(piece, is_last && data.is_empty()).map_err(|_| Failure::Gone)?;
        }
        Ok(())
    }

    /// How much of `wanted` bytes can be sent at present, at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Failure>> {
        match poll_room(self.stream, wanted, cx) {
            Poll::Ready(room) => Poll::Ready(room.ok_or(Failure::Gone)),
            Poll::Pending => self.body.poll_ended(cx).map(|()| Err(Failure::Broken)),
        }
    }
}

fn less(left: Option<u64>, bytes: usize) -> Result<Option<u64>, Failure> {
    left.map(|left| left.checked_sub(bytes as u64).ok_or(Failure::Broken)).transpose()
}

/// How much of `wanted` bytes can be sent at present, at least one; `None` once the stream takes nothing more.
pub(super) fn poll_room(stream: &mut SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Poll<Option<usize>> {
    stream.reserve_capacity(wanted);
    loop {
        match stream.capacity() {
            0 => {}
            room => return Poll::Ready(Some(room)),
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(None),
        }
    }
}

impl Failure {
    /// What the client is told.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Self::Gone => None,
            Self::Broken => Some(Reason::INTERNAL_ERROR),
            Self::Stalled => Some(Reason::CANCEL),
        }
    }
}
