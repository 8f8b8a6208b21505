//! Sending answers, as they come and without copying what is large.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::response::Parts;
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::connection::Connection;
use super::encode::{self, Exchange, Framing};
use crate::core::fields::Lines;
use crate::net::buffers;
use crate::net::service::Answer;

/// Pieces of an answer's body up to this size are copied behind one another, so that they leave in one write.
const COPY_BYTES_MAX: usize = 8 * 1024;
/// Room for what is added to a backend's fields, in bytes, or for an answer of the gateway's own.
const OURS_BYTES: usize = 256;
/// What is gathered before it is written even though more is at hand.
pub(super) const GATHER_BYTES_MAX: usize = 64 * 1024;

/// What is written and not yet sent.
#[derive(Default)]
pub(super) struct Unsent {
    pub(super) bytes: Vec<u8>,
    /// How much of it was sent.
    sent: usize,
}

impl Unsent {
    /// Has room for as many bytes.
    fn begin(&mut self, bytes: usize) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers::to_write(bytes);
        } else {
            self.bytes.reserve(bytes);
        }
    }

    /// What is left to be sent.
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.sent == self.bytes.len()
    }

    fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        // All of it, or else as much as is worth moving the rest for: a client that never catches up makes nothing grow.
        if self.is_empty() || self.sent >= GATHER_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// All of it was sent. A connection that waits holds no buffer.
    fn end(&mut self) {
        buffers::was_written(&mut self.bytes);
    }
}

impl Connection {
    /// Sends an answer.
    ///
    /// # Errors
    /// The client is gone or does not read, or the body broke off: then the connection must end without the answer
    /// looking complete.
    pub(super) async fn send<B>(&mut self, exchange: &Exchange, parts: &Parts, body: &mut B) -> io::Result<()>
    where
        B: Answer,
    {
        let lines = body.take_lines();
        let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
        let framing = encode::framing(exchange, parts.status, length);
        // Room for the head and for a body that is copied behind it.
        let body_bytes = match framing {
            Framing::Length(bytes) if bytes <= COPY_BYTES_MAX as u64 => usize::try_from(bytes).unwrap_or(0),
            _ => 0,
        };
        self.out.begin(OURS_BYTES + lines.as_ref().map_or(0, Lines::bytes) + body_bytes);
        encode::head(&mut self.out.bytes, exchange, parts.status, &parts.headers, lines.as_ref(), framing);
        drop(lines);
        match self.send_body(framing, body).await {
            Ok(()) => self.flush().await,
            Err(error) => {
                // Without a length the end of the connection is the end of the body: only a reset tells them apart.
                self.transport.stream.abort();
                Err(error)
            }
        }
    }

    async fn send_body<B>(&mut self, framing: Framing, body: &mut B) -> io::Result<()>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut left = match framing {
            Framing::NoBody | Framing::Length(0) => return Ok(()),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        };
        let mut trailers = None;
        // Read to its end, not only to its length: that is how the upstream's connection becomes free again.
        while let Some(frame) = self.next_frame(body).await? {
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    if let Some(left) = &mut left {
                        *left = left.checked_sub(data.len() as u64).ok_or_else(|| broken("longer than its length"))?;
                    }
                    self.send_data(framing, data).await?;
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        if left.is_some_and(|left| left > 0) {
            return Err(broken("shorter than its length"));
        }
        if framing == Framing::Chunked {
            encode::last_chunk(&mut self.out.bytes, trailers.as_ref());
        }
        Ok(())
    }

    /// The next frame of an answer's body. Before it waits for one it sends what there is.
    async fn next_frame<B>(&mut self, body: &mut B) -> io::Result<Option<Frame<Bytes>>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if let Some(frame) = poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
        {
            let frame = frame.transpose();
            if frame.is_err() {
                // What came before goes out: the client sees how far it got, and that it got no further.
                self.flush().await?;
            }
            return frame.map_err(|_| broken("broken off"));
        }
        self.flush().await?;
        let pipelined_bytes_max = self.limits.header_bytes;
        poll_fn(|cx| {
            if let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) {
                return Poll::Ready(frame.transpose().map_err(|_| broken("broken off")));
            }
            ready!(self.transport.poll_gone(cx, pipelined_bytes_max));
            Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
        })
        .await
    }

    async fn send_data(&mut self, framing: Framing, data: Bytes) -> io::Result<()> {
        let chunked = framing == Framing::Chunked;
        if chunked {
            encode::chunk_size(&mut self.out.bytes, data.len());
        }
        if data.len() <= COPY_BYTES_MAX {
            self.out.bytes.extend_from_slice(&data);
        } else {
            self.write_out(data).await?;
        }
        if chunked {
            self.out.bytes.extend_from_slice(b"\r\n");
        }
        if self.out.rest().len() > GATHER_BYTES_MAX { self.flush().await } else { Ok(()) }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let written = ready!(self.transport.stream.poll_write(cx, &[IoSlice::new(self.out.rest())]))?;
            self.out.advance(written);
        }
        self.transport.stream.poll_flush(cx)
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.write_out(Bytes::new()).await
    }

    /// Sends what was written and `data` behind it, without copying `data`. The client may keep each step waiting for as long
    /// as `limits.idle`; one that is done at once costs no timer.
    async fn write_out(&mut self, mut data: Bytes) -> io::Result<()> {
        let mut until = None;
        poll_fn(|cx| {
            if self.poll_write_out(cx, &mut data, &mut until)?.is_ready() {
                return Poll::Ready(io::Result::Ok(()));
            }
            let until = *until.get_or_insert_with(|| Instant::now() + self.limits.idle);
            self.deadline.poll(cx, until).map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await?;
        self.out.end();
        Ok(())
    }

    /// Each step that is done moves the limit, `until`, away again.
    fn poll_write_out(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        until: &mut Option<Instant>,
    ) -> Poll<io::Result<()>> {
        let stream = &self.transport.stream;
        while !(self.out.is_empty() && data.is_empty()) {
            let pieces = [IoSlice::new(self.out.rest()), IoSlice::new(data)];
            let written = ready!(stream.poll_write(cx, &pieces))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *until = None;
            let of_out = written.min(self.out.rest().len());
            self.out.advance(of_out);
            data.advance(written - of_out);
        }
        stream.poll_flush(cx)
    }
}

fn broken(how: &'static str) -> io::Error {
    io::Error::other(format!("the answer's body is {how}"))
}
