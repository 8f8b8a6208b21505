//! Sending answers, as they come and without copying what is large.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::response::Parts;
use http_body::Frame;
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

/// An answer on its way.
struct Answering {
    framing: Framing,
    /// How much of its body is still to come, if its length is known.
    left: Option<u64>,
    trailers: Option<HeaderMap>,
    /// Goes out behind what is written, uncopied.
    piece: Bytes,
    /// Whether that is all of a chunk, which has yet to be ended.
    is_in_chunk: bool,
    /// Whether all of it was read.
    is_read: bool,
    /// Why no more of it can be read.
    broken: Option<io::Error>,
    step: Step,
    /// When the client will have kept us waiting for too long, if it does.
    until: Option<Instant>,
}

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Read more.
    Read,
    /// Read more; all that was read has been sent.
    ReadOn,
    /// Send what was read.
    Send,
}

impl Answering {
    fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => Some(length),
            Framing::NoBody | Framing::Chunked | Framing::UntilClose => None,
        };
        let mut new = Self {
            framing,
            left,
            trailers: None,
            piece: Bytes::new(),
            is_in_chunk: false,
            is_read: false,
            broken: None,
            step: Step::Read,
            until: None,
        };
        if matches!(framing, Framing::NoBody | Framing::Length(0)) {
            new.read_all();
        }
        new
    }

    fn read_all(&mut self) {
        (self.is_read, self.step) = (true, Step::Send);
    }

    fn end(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(broken("shorter than its length"));
        }
        if self.framing == Framing::Chunked {
            encode::last_chunk(out, self.trailers.as_ref());
        }
        self.read_all();
        Ok(())
    }

    fn take(&mut self, data: Bytes, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(data.len() as u64).ok_or_else(|| broken("longer than its length"))?;
        }
        if self.framing == Framing::Chunked {
            encode::chunk_size(out, data.len());
            self.is_in_chunk = true;
        }
        if data.len() > COPY_BYTES_MAX {
            (self.piece, self.step) = (data, Step::Send);
        } else {
            out.extend_from_slice(&data);
            self.end_chunk(out);
        }
        Ok(())
    }

    fn end_chunk(&mut self, out: &mut Vec<u8>) {
        if mem::take(&mut self.is_in_chunk) {
            out.extend_from_slice(b"\r\n");
        }
    }
}

impl Connection {
    /// Sends an answer, and settles whether the connection goes on.
    ///
    /// # Errors
    /// The client is gone or does not read, or the body broke off: then the connection must end without the answer
    /// looking complete.
    pub(super) async fn send<B>(&mut self, exchange: &mut Exchange, parts: &Parts, body: &mut B) -> io::Result<()>
    where
        B: Answer,
    {
        let mut answering = self.begin_answer(exchange, parts, body);
        let sent = poll_fn(|cx| self.poll_answer(cx, body, &mut answering)).await;
        if sent.is_err() {
            // Without a length the end of the connection is the end of the body: only a reset tells them apart.
            self.transport.stream.abort();
        }
        sent
    }

    /// Writes the head, and the body with it if that is short and there.
    fn begin_answer<B>(&mut self, exchange: &mut Exchange, parts: &Parts, body: &mut B) -> Answering
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
        let out = &mut self.out.bytes;
        encode::head(out, exchange, parts.status, &parts.headers, lines.as_ref(), framing);
        if let (true, Some((name, value))) = (lines.is_some(), body.field()) {
            // In front of the empty line.
            out.truncate(out.len().saturating_sub(2));
            encode::field(out, name.as_str().as_bytes(), value);
            out.extend_from_slice(b"\r\n");
        }
        let mut answering = Answering::new(framing);
        if body_bytes > 0 && body.write_whole(out, body_bytes) {
            answering.read_all();
        }
        answering
    }

    /// Reads a body and sends it. It is read to its end, not only to its length: that is how the upstream's connection becomes
    /// free again.
    fn poll_answer<B>(&mut self, cx: &mut Context<'_>, body: &mut B, answering: &mut Answering) -> Poll<io::Result<()>>
    where
        B: Answer,
    {
        loop {
            if answering.step == Step::Send {
                if self.poll_written(cx, &mut answering.piece, &mut answering.until)?.is_pending() {
                    return body.poll_ended(cx).map(|()| Err(broken("not to go on")));
                }
                if let Some(error) = answering.broken.take() {
                    return Poll::Ready(Err(error));
                }
                if answering.is_read {
                    return Poll::Ready(Ok(()));
                }
                answering.step = if answering.is_in_chunk { Step::Read } else { Step::ReadOn };
                answering.end_chunk(&mut self.out.bytes);
            }
            match Pin::new(&mut *body).poll_frame(cx) {
                Poll::Ready(frame) => self.pass_on(frame, answering)?,
                // Before it waits it sends what there is.
                Poll::Pending if answering.step == Step::Read => answering.step = Step::Send,
                Poll::Pending => {
                    ready!(self.transport.poll_gone(cx, self.limits.header_bytes));
                    return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
                }
            }
        }
    }

    /// Takes what was read of a body, or that there is no more.
    fn pass_on<E>(&mut self, frame: Option<Result<Frame<Bytes>, E>>, answering: &mut Answering) -> io::Result<()> {
        answering.step = Step::Read;
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => {
                // What came before goes out: the client sees how far it got, and that it got no further.
                (answering.broken, answering.step) = (Some(broken("broken off")), Step::Send);
                return Ok(());
            }
            None => return answering.end(&mut self.out.bytes),
        };
        match frame.into_data() {
            Ok(data) if data.is_empty() => {}
            Ok(data) => answering.take(data, &mut self.out.bytes)?,
            Err(frame) => answering.trailers = frame.into_trailers().ok(),
        }
        if self.out.rest().len() > GATHER_BYTES_MAX {
            answering.step = Step::Send;
        }
        Ok(())
    }

    /// Sends what was written, for as long as it takes.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_out(cx, &mut Bytes::new(), &mut None)
    }

    /// Sends what was written.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let (mut nothing, mut until) = (Bytes::new(), None);
        poll_fn(|cx| self.poll_written(cx, &mut nothing, &mut until)).await
    }

    /// Sends what was written and `data` behind it, without copying `data`. The client may keep each step waiting for as long
    /// as `limits.idle`; one that is done at once costs no timer.
    fn poll_written(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut Bytes,
        until: &mut Option<Instant>,
    ) -> Poll<io::Result<()>> {
        if self.poll_write_out(cx, data, until)?.is_ready() {
            *until = None;
            self.out.end();
            return Poll::Ready(Ok(()));
        }
        let until = *until.get_or_insert_with(|| Instant::now() + self.limits.idle);
        self.deadline.poll(cx, until).map(|()| Err(io::ErrorKind::TimedOut.into()))
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
