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

use bytes::Bytes;
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
    /// How much is to come, if the head said so.
    left: Option<u64>,
    /// What has been read; `None` if that is no longer known.
    kept: Option<Vec<Bytes>>,
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
        let pump = Pump { body, stream, piece: Bytes::new(), left: length, kept: Some(Vec::new()) };
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
            while !self.piece.is_empty() {
                let is_last = ready!(self.poll_piece(context))?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
            }
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                // Nobody else would notice that the backend has reset the stream.
                ready!(self.stream.poll_reset(context)).map_err(|_| Stopped::Unwanted)?;
                return Poll::Ready(Err(Stopped::Unwanted));
            };
            match frame.transpose().map_err(|_| Stopped::Failed)? {
                Some(frame) => match frame.into_data() {
                    Ok(piece) => self.take(piece)?,
                    Err(frame) => return Poll::Ready(self.end(frame.into_trailers().ok())),
                },
                None => return Poll::Ready(self.end(None)),
            }
        }
    }

    fn take(&mut self, piece: Bytes) -> Result<(), Stopped> {
        if let Some(left) = &mut self.left {
            let Some(rest) = left.checked_sub(piece.len() as u64) else {
                self.body.fail_by_length();
                return Err(Stopped::Failed);
            };
            *left = rest;
        }
        self.keep(&piece);
        self.piece = piece;
        Ok(())
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

    /// Sends as much of the piece as the backend has room for. Whether that was the end of the body.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Stopped>> {
        self.stream.reserve_capacity(self.piece.len());
        while self.stream.capacity() == 0 {
            match ready!(self.stream.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Poll::Ready(Err(Stopped::Unwanted)),
            }
        }
        let part = self.piece.split_to(self.stream.capacity().min(self.piece.len()));
        let is_last = self.piece.is_empty() && self.body.is_end_stream() && self.is_whole();
        self.stream.send_data(part, is_last).map_err(|_| Stopped::Unwanted)?;
        Poll::Ready(Ok(is_last))
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
