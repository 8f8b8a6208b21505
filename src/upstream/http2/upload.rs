//! A request's body on its way to the backend, on a stream of HTTP/2.
//!
//! It goes in a task of its own: the backend may answer before it has ended, and whoever reads the answer may be slow.
//! Until the backend has answered, the beginning of the body is kept: a stream that was refused unprocessed (RFC 9113
//! section 8.7) is then sent elsewhere, which is how backends close connections that they have served long enough.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body;
use tokio::task::AbortHandle;

use crate::upstream::error::BoxError;
use crate::upstream::request_body::RequestBody;

/// Most of a body that is kept, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Most pieces of it that are kept, since each may hold on to the memory that it was read into.
const KEPT_PIECES_MAX: usize = 16;
/// Pieces below this length, in bytes, are joined where several are there.
const SMALL: usize = 8 * 1024;

/// A body on its way. Dropping it stops it; a stream on which not all was sent is then reset.
#[derive(Debug)]
pub(super) struct Upload<B> {
    pump: Rc<RefCell<Pump<B>>>,
    task: Option<Stopping>,
}

/// Stops a body's task when it is dropped.
#[derive(Debug)]
pub(super) struct Stopping(AbortHandle);

#[derive(Debug)]
struct Pump<B> {
    body: RequestBody<B>,
    stream: SendStream<Bytes>,
    /// Read from the body and not sent.
    piece: Bytes,
    /// What comes behind the piece, if that is known.
    ahead: Option<Read>,
    /// How much is to come, if the head said so.
    left: Option<u64>,
    /// What has been read; `None` if that is no longer known.
    kept: Option<Vec<Bytes>>,
}

/// What a body goes on with.
#[derive(Debug)]
enum Read {
    Piece(Bytes),
    End(Option<HeaderMap>),
}

/// Why a body is not sent to its end.
enum Stopped {
    /// The backend wants no more of it, or is gone.
    Unwanted,
    /// It failed: the backend has to see that it did.
    Failed,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Begins to send `body`, which is of `length` if that is known. For one that is there already no task is needed.
    pub(super) async fn start(body: RequestBody<B>, length: Option<u64>, stream: SendStream<Bytes>) -> Self {
        let pump = Pump { body, stream, piece: Bytes::new(), ahead: None, left: length, kept: Some(Vec::new()) };
        let pump = Rc::new(RefCell::new(pump));
        let is_sent = poll_fn(|context| Poll::Ready(pump.borrow_mut().poll(context).is_ready())).await;
        let task = (!is_sent).then(|| {
            let pump = Rc::clone(&pump);
            let sending = poll_fn(move |context| pump.borrow_mut().poll(context));
            Stopping(tokio::task::spawn_local(sending).abort_handle())
        });
        Self { pump, task }
    }

    /// The backend has answered: it has begun with the request, which from now on is not sent elsewhere.
    pub(super) fn answered(self) -> Option<Stopping> {
        self.pump.borrow_mut().kept = None;
        self.task
    }

    /// The body as it was before any of it was sent, if all of that is still known.
    pub(super) fn take_back(self) -> Option<RequestBody<B>> {
        drop(self.task);
        let mut pump = self.pump.borrow_mut();
        let kept = pump.kept.take()?;
        Some(mem::replace(&mut pump.body, RequestBody::empty()).behind(kept))
    }
}

impl<B> Pump<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// Sends what there is to be sent. Ready when nothing more will be.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Err(Stopped::Failed) = ready!(self.poll_to_end(context)) {
            self.stream.send_reset(Reason::CANCEL);
        }
        Poll::Ready(())
    }

    fn poll_to_end(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        loop {
            if self.piece.is_empty() {
                match self.poll_read(context)? {
                    Poll::Ready(Read::Piece(piece)) => self.piece = piece,
                    Poll::Ready(Read::End(trailers)) => return Poll::Ready(self.end(trailers)),
                    Poll::Pending => {
                        // Nobody else would notice that the backend has reset the stream.
                        let _reset = ready!(self.stream.poll_reset(context));
                        return Poll::Ready(Err(Stopped::Unwanted));
                    }
                }
                continue;
            }
            ready!(self.poll_capacity(context))?;
            self.join_small_pieces(context)?;
            if self.send_piece()? {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// What comes next of the body, which may have been read already.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Read, Stopped>> {
        if let Some(read) = self.ahead.take() {
            return Poll::Ready(Ok(read));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context)).transpose().map_err(|_| Stopped::Failed)?;
        let Some(frame) = frame else { return Poll::Ready(Ok(Read::End(None))) };
        match frame.into_data() {
            Ok(piece) => {
                self.count(&piece)?;
                self.keep(&piece);
                Poll::Ready(Ok(Read::Piece(piece)))
            }
            Err(frame) => Poll::Ready(Ok(Read::End(frame.into_trailers().ok()))),
        }
    }

    fn count(&mut self, piece: &Bytes) -> Result<(), Stopped> {
        let Some(left) = self.left else { return Ok(()) };
        match left.checked_sub(piece.len() as u64) {
            Some(left) => {
                self.left = Some(left);
                Ok(())
            }
            None => {
                self.body.fail_by_length();
                Err(Stopped::Failed)
            }
        }
    }

    fn keep(&mut self, piece: &Bytes) {
        let Some(kept) = &mut self.kept else { return };
        let bytes: usize = kept.iter().map(Bytes::len).sum();
        if kept.len() < KEPT_PIECES_MAX && bytes + piece.len() <= KEPT_BYTES_MAX {
            kept.push(piece.clone());
        } else {
            self.kept = None;
        }
    }

    /// Waits until the backend has room for some of the piece.
    fn poll_capacity(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stopped>> {
        self.stream.reserve_capacity(self.piece.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Stopped::Unwanted)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Joins a small piece with those behind it that are there already. Each would be a frame, and backends close
    /// connections on which many small ones pile up.
    fn join_small_pieces(&mut self, context: &mut Context<'_>) -> Result<(), Stopped> {
        let mut joined = BytesMut::new();
        while self.ahead.is_none() && self.piece.len().max(joined.len()) < SMALL {
            match self.poll_read(context)? {
                Poll::Ready(Read::Piece(piece)) if piece.len() < SMALL => {
                    if joined.is_empty() {
                        joined.reserve(2 * SMALL);
                        joined.extend_from_slice(&self.piece);
                    }
                    joined.extend_from_slice(&piece);
                }
                Poll::Ready(read) => self.ahead = Some(read),
                Poll::Pending => break,
            }
        }
        if !joined.is_empty() {
            self.piece = joined.freeze();
        }
        Ok(())
    }

    /// Sends as much of the piece as the backend has room for. Whether that was the end of the body.
    fn send_piece(&mut self) -> Result<bool, Stopped> {
        let part = self.piece.split_to(self.stream.capacity().min(self.piece.len()));
        let is_read = self.piece.is_empty() && self.ahead.is_none() && self.body.is_end_stream();
        let is_last = is_read && self.is_whole();
        self.stream.send_data(part, is_last).map_err(|_| Stopped::Unwanted)?;
        Ok(is_last)
    }

    /// Whether all came that the head has promised.
    fn is_whole(&self) -> bool {
        self.left.is_none_or(|left| left == 0)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Stopped> {
        if !self.is_whole() {
            self.body.fail_by_length();
            return Err(Stopped::Failed);
        }
        match trailers {
            Some(trailers) => {
                self.kept = None;
                self.stream.send_trailers(trailers)
            }
            None => self.stream.send_data(Bytes::new(), true),
        }
        .map_err(|_| Stopped::Unwanted)
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}
