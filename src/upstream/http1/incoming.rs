//! A response's body, read from the connection as it is asked for.

use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::connection::Connection;
use crate::net::http1::chunked::{Decoded, Decoder};
use crate::upstream::error::BoxError;
use crate::upstream::framing::BodyLength;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 64 * 1024;

/// The body of a response, and the connection that it comes on.
#[derive(Debug)]
pub(in crate::upstream) struct Incoming {
    connection: Box<Connection>,
    rest: Rest,
    /// Whether it came with the head: what it was read into has not grown then.
    is_short: bool,
}

/// What is still to come.
#[derive(Debug)]
enum Rest {
    Nothing,
    Exact(u64),
    Chunked(Decoder),
    UntilClose,
}

impl Incoming {
    pub(super) fn new(connection: Box<Connection>, length: BodyLength) -> Self {
        let rest = match length {
            BodyLength::Exact(0) => Rest::Nothing,
            BodyLength::Exact(bytes) => Rest::Exact(bytes),
            BodyLength::Chunked => Rest::Chunked(Decoder::default()),
            BodyLength::UntilClose => Rest::UntilClose,
        };
        Self { connection, rest, is_short: true }
    }

    /// The connection, on which the body has ended or never began.
    pub(in crate::upstream) fn into_connection(self) -> Box<Connection> {
        self.connection
    }

    /// The buffer that a short body was read into, once it has ended. What came behind it stays: it tells that the connection
    /// is not to be used again.
    pub(in crate::upstream) fn take_buffer(&mut self) -> BytesMut {
        let buffer = &mut self.connection.buffer;
        if self.is_short && buffer.is_empty() { mem::take(buffer) } else { BytesMut::new() }
    }

    /// Writes all of it behind what is in `out`, if it is of a known length up to `bytes_max` and was read with the head.
    pub(in crate::upstream) fn write_whole(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> bool {
        let Rest::Exact(left) = self.rest else { return false };
        let buffer = &mut self.connection.buffer;
        let whole = usize::try_from(left).ok().filter(|left| *left <= bytes_max).and_then(|left| buffer.get(..left));
        let Some(whole) = whole else { return false };
        out.extend_from_slice(whole);
        buffer.advance(whole.len());
        self.rest = Rest::Nothing;
        true
    }

    /// The next frame of what was read; `None` if more has to be.
    fn next(&mut self) -> Result<Option<Option<Frame<Bytes>>>, BoxError> {
        let buffer = &mut self.connection.buffer;
        let (frame, is_last) = match &mut self.rest {
            Rest::Nothing => return Ok(Some(None)),
            Rest::Exact(_) | Rest::UntilClose if buffer.is_empty() => return Ok(None),
            Rest::UntilClose => (Frame::data(buffer.split().freeze()), false),
            Rest::Exact(left) => {
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
                *left -= take as u64;
                (Frame::data(buffer.split_to(take).freeze()), *left == 0)
            }
            Rest::Chunked(decoder) => match decoder.decode(buffer)? {
                Decoded::Data(data) => (Frame::data(data), false),
                Decoded::Trailers(trailers) => (Frame::trailers(trailers), true),
                Decoded::NeedsMore => return Ok(None),
                Decoded::End => {
                    self.rest = Rest::Nothing;
                    return Ok(Some(None));
                }
            },
        };
        if is_last {
            self.rest = Rest::Nothing;
        }
        Ok(Some(Some(frame)))
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = match self.rest {
            Rest::Exact(left) => usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES),
            _ => READ_BYTES,
        };
        self.is_short = false;
        let Connection { wire, buffer, .. } = &mut *self.connection;
        wire.stream.poll_read_buf(cx, buffer, wanted)
    }

    /// What the end of the connection means.
    fn closed(&mut self) -> Option<BoxError> {
        let is_end = matches!(self.rest, Rest::UntilClose) && !self.connection.wire.is_cut.get();
        self.rest = Rest::Nothing;
        (!is_end).then(|| "it closed the connection".into())
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some(frame) = this.next().transpose() {
                return Poll::Ready(frame.transpose());
            }
            match ready!(this.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(this.closed().map(Err)),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            Rest::Nothing => SizeHint::with_exact(0),
            Rest::Exact(left) => SizeHint::with_exact(left),
            Rest::Chunked(_) | Rest::UntilClose => SizeHint::default(),
        }
    }
}
