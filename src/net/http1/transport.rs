//! What a connection and the body of its current request share: the socket, what was read ahead, and how far the body
//! has come. Both live on one worker thread, so there is no lock.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use super::chunked::Decoder;
use super::framing::BodyLength;
use crate::net::buffers;
use crate::net::stream::{ReadAhead, Stream};

/// Bytes asked of the socket at once while a head is awaited.
const HEAD_READ_BYTES: usize = 4 * 1024;
/// Bytes asked of the socket at once while a body is read.
const BODY_READ_BYTES: usize = 64 * 1024;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) stream: Stream,
    pub(super) inbound: RefCell<Inbound>,
}

/// The direction from the client.
#[derive(Debug)]
pub(super) struct Inbound {
    /// Read and not yet used.
    pub(super) buffer: BytesMut,
    /// What is still to come of the current request's body.
    pub(super) body: Remaining,
    /// Counts requests, and bodies read over, so that the body of an earlier one cannot read the bytes of a later one. None
    /// outlives four billion.
    pub(super) generation: u32,
    /// The client waits for `100 Continue` before it sends the body.
    pub(super) awaits_continue: bool,
}

/// What is still to come of a body.
#[derive(Debug)]
pub(super) enum Remaining {
    Nothing,
    Exact(u64),
    Chunked(Decoder),
    /// The body broke off or broke its framing: nothing on this connection can be understood any more.
    Broken,
}

impl From<BodyLength> for Remaining {
    fn from(length: BodyLength) -> Self {
        match length {
            BodyLength::Empty => Self::Nothing,
            BodyLength::Exact(bytes) => Self::Exact(bytes),
            BodyLength::Chunked => Self::Chunked(Decoder::default()),
        }
    }
}

impl Transport {
    pub(super) fn new(stream: Stream) -> Self {
        let inbound =
            Inbound { buffer: BytesMut::new(), body: Remaining::Nothing, generation: 0, awaits_continue: false };
        Self { stream, inbound: RefCell::new(inbound) }
    }

    /// The stream as it was, with what was read and not used in front.
    pub(super) fn into_stream(self) -> ReadAhead<Stream> {
        self.stream.with_read_ahead(self.inbound.into_inner().buffer)
    }

    /// Reads what there is of a head. A connection that waits for one holds no buffer: there may be many of them.
    pub(super) fn poll_fill_head(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let buffer = &mut self.inbound.borrow_mut().buffer;
        if buffer.is_empty() {
            buffers::was_read(buffer);
        }
        let polled = self.stream.poll_read_buf(cx, buffer, HEAD_READ_BYTES);
        if polled.is_pending() && buffer.is_empty() {
            // Taken for a read that found nothing, as the first on a connection does.
            buffers::was_read(buffer);
        }
        polled
    }

    /// Resolves once the client has gone. What it sends meanwhile is the next request and is kept, up to `bytes_max`;
    /// beyond that the client is not looked at again before its turn.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<()> {
        loop {
            let ahead = {
                let inbound = self.inbound.borrow();
                if matches!(inbound.body, Remaining::Nothing) { inbound.buffer.len() } else { usize::MAX }
            };
            if ahead >= bytes_max {
                return Poll::Pending;
            }
            match ready!(self.poll_fill_head(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
    }
}

impl Inbound {
    /// Cuts the bodies of earlier requests off from what comes.
    pub(super) fn begin_generation(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Reads more of a body.
    pub(super) fn poll_fill_body(&mut self, stream: &Stream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = match self.body {
            Remaining::Exact(left) => usize::try_from(left).unwrap_or(usize::MAX).min(BODY_READ_BYTES),
            _ => BODY_READ_BYTES,
        };
        stream.poll_read_buf(cx, &mut self.buffer, wanted)
    }
}
