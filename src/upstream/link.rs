//! What a request goes over, whichever version of HTTP the backend speaks.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::BoxError;
use super::http1::{self, Connection};
use super::http2;
use crate::net::stream_io::StreamIo;

/// A request's way to the backend.
#[derive(Debug)]
pub(super) enum Link {
    /// A connection of its own.
    Http1(Box<Connection>),
    /// A stream on a connection with others.
    Http2(http2::Place),
}

/// The body of a response as it comes in, and what it comes over.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Of HTTP/1.1.
    Http1(http1::Incoming),
    /// Of HTTP/2.
    Http2(http2::Incoming, #[expect(dead_code, reason = "held")] http2::Place),
    /// None: the stream of HTTP/2 has become something else.
    Switched(StreamIo, http2::Place),
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(context),
            Self::Http2(body, _) => Pin::new(body).poll_frame(context).map_err(http2::cause),
            Self::Switched(..) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body, _) => body.is_end_stream(),
            Self::Switched(..) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(body) => body.size_hint(),
            Self::Http2(body, _) => body.size_hint(),
            Self::Switched(..) => SizeHint::with_exact(0),
        }
    }
}
