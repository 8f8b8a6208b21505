//! What a connection asks of the part of the gateway that answers its requests, whatever version of HTTP it speaks.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};

use super::head::{Head, HeadError};
use super::http1;
use super::http2;
use super::interim::Interim;
use super::tunnel::Tunnel;
use crate::core::fields::Lines;

/// A request as it comes off a connection.
pub struct Request {
    /// Request line and header fields. Boxed: it is large, and handed on several times.
    pub head: Box<Head>,
    /// The body, to be read while it arrives.
    pub body: RequestBody,
    /// Where informational answers (1xx) to this request may be left.
    pub interim: Interim,
}

/// What answers the requests of a connection.
pub trait Service {
    /// The body of answers.
    type Body: Answer;

    /// Who the clients are, as far as it matters how many requests they may give up.
    const CLIENTS: Clients = Clients::Any;

    /// Answers one request.
    fn call(&self, request: Request) -> impl Future<Output = http::Response<Self::Body>>;

    /// Answers what is no request, before the connection is closed. There is a head if it could be read, and it is only
    /// what it says together that cannot be.
    fn refuse(&self, refusal: Refusal, head: Option<&Head>) -> http::Response<Self::Body>;
}

/// Whose requests come on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Anybody's.
    Any,
    /// Those of a proxy that asks on behalf of many. It gives up whatever its own clients give up, and one of them must
    /// not be able to end what all others wait for.
    Proxies,
}

/// Why a connection gets an answer although no request could be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The head is not well formed.
    Head(HeadError),
    /// There are more connections than the gateway takes on.
    TooManyConnections,
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request head in bytes.
    pub header_bytes: usize,
    /// Longest time for a request head to arrive, from its first byte (for the first request: from the connection).
    pub request_head: Duration,
    /// Longest silence: between requests, while a body arrives, and while an answer is not read.
    pub idle: Duration,
}

/// The body of an answer.
pub trait Answer: Body<Data = Bytes> + Unpin {
    /// The backend's side, if the answer switches protocols (status 101). Called once, after its head was sent. The body is
    /// kept until the tunnel is over, and not read.
    fn take_tunnel(&mut self) -> Option<Tunnel> {
        None
    }

    /// Fields of the answer beside those of its head, in the bytes that a backend has sent them in: none of them is in both.
    /// Called once, before the head is sent.
    fn take_lines(&mut self) -> Option<Lines> {
        None
    }

    /// A field of our own that goes with the lines, name and value, once they were taken: none of them has that name. It is
    /// written as it is.
    fn field(&self) -> Option<(&'static HeaderName, &[u8])> {
        None
    }

    /// Writes the whole body behind what is in `out`, if it is of a known length up to `bytes_max` and all of it is there; the
    /// body has ended then. Whether it did.
    fn write_whole(&mut self, _out: &mut Vec<u8>, _bytes_max: usize) -> bool {
        false
    }

    /// Ready once the answer must not go on, and has to break off whatever is still to be sent of it. Asked while the client takes
    /// nothing, since nobody asks for a frame then.
    fn poll_ended(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Answer for http_body_util::Full<Bytes> {}

/// The body of a request, read from its connection as it is asked for.
#[derive(Debug)]
pub enum RequestBody {
    /// Of HTTP/1.1.
    Http1(http1::body::Body),
    /// Of HTTP/2.
    Http2(http2::body::Body),
}

/// Why a body did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The framing is broken. The text is for the operator.
    #[error("the request body is not well formed: {0}")]
    Malformed(&'static str),
    /// The client closed the connection, or the answer was complete before the body was.
    #[error("the request body broke off")]
    Incomplete,
    /// Nothing came for `limits.idle`.
    #[error("the request body stopped arriving")]
    Idle,
    /// The connection failed.
    #[error("the request body could not be read")]
    Io(#[from] io::Error),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx),
            Self::Http2(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
        }
    }
}
