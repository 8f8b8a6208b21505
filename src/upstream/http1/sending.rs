//! A request on its way to the backend: its head, and its body as it comes from the client.

use std::future::{pending, poll_fn};
use std::io::IoSlice;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderName};
use http_body::Body;

use super::connection::Wire;
use crate::net::buffers;
use crate::net::http1::encode::{chunk_size, last_chunk};
use crate::upstream::error::BoxError;
use crate::upstream::outgoing::Outgoing;
use crate::upstream::request_body::RequestBody;
use crate::upstream::source::{Read, Source};
use crate::upstream::stopping::Stopping;

/// Pieces of a body up to this size are copied behind what goes before them, so that they leave in one write.
const COPY_BYTES_MAX: usize = 8 * 1024;
/// What is gathered before it is written even though more is at hand.
const GATHER_BYTES_MAX: usize = 64 * 1024;

/// A request on its way.
pub(super) struct Sending<B> {
    wire: Rc<Wire>,
    /// Encoded and, from `sent` on, not yet sent. What was sent stays until something else is to be: a request without a body
    /// may have to be sent again.
    out: Vec<u8>,
    sent: usize,
    head_bytes: usize,
    /// What goes behind it, not copied.
    piece: Bytes,
    /// Boxed: it is large, and most requests have none.
    body: Option<Box<Encoding<B>>>,
    /// Whether the backend did not take what it was given last.
    is_blocked: bool,
    /// Whether the socket has taken a byte of it.
    pub(super) is_begun: bool,
}

/// A body, and how its end is told.
struct Encoding<B> {
    source: Source<B>,
    /// `None` is the chunked coding.
    left: Option<u64>,
    /// All of it is in what is to be sent. It is kept until that was: it may have to be given back.
    is_read: bool,
    /// The trailers that the head has announced. A backend of HTTP/1.1 may not expect any others.
    announced: Vec<HeaderName>,
}

/// Why a request is not sent to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The backend takes no more of it. It may have answered all the same.
    Unwanted,
    /// The client's body failed. Why is with the body.
    Failed,
}

impl<B> Sending<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Nothing is sent yet. `length` is the body's, as `head` has it.
    pub(super) fn new<T>(wire: &Rc<Wire>, head: &mut Outgoing<T>, body: RequestBody<B>, length: Option<u64>) -> Self {
        let out = head.take_head();
        // What the head says decides, not whether the body is at its end by now: chunks have a last one even if there is no other.
        let body = (length != Some(0) || !body.is_end_stream()).then(|| {
            let announced = head.fields.announced();
            Box::new(Encoding { source: Source::new(body, length), left: length, is_read: false, announced })
        });
        let head_bytes = out.len();
        Self {
            wire: Rc::clone(wire),
            out,
            sent: 0,
            head_bytes,
            piece: Bytes::new(),
            body,
            is_blocked: false,
            is_begun: false,
        }
    }

    /// Sends what there is to be sent. Ready when all of it was, or nothing more will be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let polled = self.poll_to_end(cx);
        if let (Poll::Ready(Err(Stopped::Unwanted)), true) = (&polled, self.is_begun) {
            // It ends here, and its time limits are the response's from now on.
            self.body = None;
        }
        polled
    }

    fn poll_to_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        loop {
            // Whoever waits for the backend must not look as if it waited for the client.
            let waits_for_client = if self.is_blocked { false } else { self.gather(cx)? };
            if self.sent == self.out.len() && self.piece.is_empty() {
                ready!(self.wire.stream.poll_flush(cx)).map_err(|_| Stopped::Unwanted)?;
                if self.is_read() {
                    self.body = None;
                }
                return if waits_for_client { Poll::Pending } else { Poll::Ready(Ok(())) };
            }
            if let (true, Some(body)) = (waits_for_client, &self.body) {
                // It is the backend now that has to take something.
                body.source.wait_for_backend();
            }
            self.is_blocked = true;
            ready!(self.poll_write(cx))?;
            self.is_blocked = false;
        }
    }

    /// Reads of the body what is there. Whether more has to be waited for.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<bool, Stopped> {
        while self.piece.is_empty() && self.out.len() < GATHER_BYTES_MAX {
            let Some(body) = self.body.as_mut().filter(|body| !body.is_read) else { return Ok(false) };
            match body.source.poll_read(cx).map_err(|_| Stopped::Failed)? {
                Poll::Pending => return Ok(true),
                Poll::Ready(Read::Piece(piece)) => self.take(piece),
                Poll::Ready(Read::End(trailers)) => self.end(trailers),
            }
        }
        Ok(false)
    }

    fn take(&mut self, piece: Bytes) {
        let Some(body) = &mut self.body else { return };
        if piece.is_empty() {
            return;
        }
        match &mut body.left {
            None => chunk_size(&mut self.out, piece.len()),
            Some(left) => *left = left.saturating_sub(piece.len() as u64),
        }
        let (is_chunked, is_all) = (body.left.is_none(), body.left == Some(0));
        if piece.len() <= COPY_BYTES_MAX {
            self.out.extend_from_slice(&piece);
            if is_chunked {
                self.out.extend_from_slice(b"\r\n");
            }
        } else {
            self.piece = piece;
        }
        body.is_read = is_all;
    }

    fn is_read(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.is_read)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        let Some(body) = &mut self.body else { return };
        body.is_read = true;
        if body.left.is_none() {
            let mut trailers = trailers.unwrap_or_default();
            let others: Vec<_> = trailers.keys().filter(|name| !body.announced.contains(name)).cloned().collect();
            others.iter().for_each(|name| drop(trailers.remove(name)));
            last_chunk(&mut self.out, Some(&trailers));
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        let out = self.out.get(self.sent..).unwrap_or_default();
        let pieces = [IoSlice::new(out), IoSlice::new(&self.piece)];
        let left = out.len();
        // TLS may have sent some of what it says that it could not send.
        self.is_begun |= self.wire.stream.is_tls();
        let written = match ready!(self.wire.stream.poll_write(cx, &pieces)) {
            Ok(written) if written > 0 => written,
            Ok(_) | Err(_) => return Poll::Ready(Err(Stopped::Unwanted)),
        };
        self.is_begun = true;
        if let Some(body) = &mut self.body {
            body.source.forget();
        }
        let of_out = written.min(left);
        self.sent += of_out;
        if self.body.is_some() && self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
        }
        if written > of_out {
            self.piece.advance(written - of_out);
            let is_chunked = self.body.as_ref().is_some_and(|body| body.left.is_none());
            if self.piece.is_empty() && is_chunked {
                self.out.extend_from_slice(b"\r\n");
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Head and body as they were, of which nothing was sent, if all of it is still known.
    pub(super) fn take_back(mut self) -> Option<(Vec<u8>, RequestBody<B>)> {
        self.out.truncate(self.head_bytes);
        let body = match self.body.take() {
            None => RequestBody::empty(),
            Some(mut body) => body.source.take_back()?,
        };
        Some((mem::take(&mut self.out), body))
    }

    /// Goes on behind the response's head, until it is dropped: whoever reads the response may be slow.
    pub(super) fn go_on(mut self) -> Stopping {
        Stopping::spawn(async move {
            match poll_fn(|cx| self.poll(cx)).await {
                Ok(()) => {}
                // The response may be whole all the same. The connection is of no further use: this never comes to its end.
                Err(Stopped::Unwanted) => pending().await,
                Err(Stopped::Failed) => {
                    self.wire.is_cut.set(true);
                    self.wire.stream.cut();
                }
            }
        })
    }
}

impl<B> Drop for Sending<B> {
    fn drop(&mut self) {
        buffers::was_written(&mut self.out);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use http::Request;
    use http_body_util::Full;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// What a backend is sent.
    async fn sent(
        listener: &TcpListener,
        request: &mut Outgoing<()>,
        body: RequestBody<Full<Bytes>>,
        length: Option<u64>,
    ) -> String {
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap().into();
        let wire = Rc::new(Wire { stream, is_cut: Cell::new(false) });
        let mut sending = Sending::new(&wire, request, body, length);
        let (mut backend, _) = listener.accept().await.unwrap();
        poll_fn(|cx| sending.poll(cx)).await.unwrap();
        drop((sending, wire));
        let mut text = String::new();
        backend.read_to_string(&mut text).await.unwrap();
        text
    }

    fn whole(text: &str, length: Option<u64>) -> String {
        let chunk = if text.is_empty() { String::new() } else { format!("{:x}\r\n{text}\r\n", text.len()) };
        match length {
            Some(length) => format!("POST / HTTP/1.1\r\ncontent-length: {length}\r\n\r\n{text}"),
            None => format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{chunk}0\r\n\r\n"),
        }
    }

    #[test]
    fn what_was_read_of_a_body_and_not_sent_is_given_back() {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap().into();
            let _cut = listener.accept().await.unwrap();
            let wire = Rc::new(Wire { stream, is_cut: Cell::new(false) });
            wire.stream.cut();
            for text in ["", "abc", &"a".repeat(COPY_BYTES_MAX + 1)] {
                for length in [Some(text.len() as u64), None] {
                    let mut request = Outgoing::from(Request::post("/").body(()).unwrap());
                    request.fields.frame(&request.method, length);
                    let body = RequestBody::new(Full::from(text.to_owned()));
                    let mut sending = Sending::new(&wire, &mut request, body, length);
                    assert!(matches!(poll_fn(|cx| sending.poll(cx)).await, Err(Stopped::Unwanted)));
                    assert!(!sending.is_begun);
                    let (head, body) = sending.take_back().unwrap();
                    request.put_back(head);
                    assert_eq!(sent(&listener, &mut request, body, length).await, whole(text, length));
                }
            }
        });
    }
}
