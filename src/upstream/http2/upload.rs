//! A request's body on its way to the backend, on a stream of HTTP/2.
//!
//! It goes in a task of its own: the backend may answer before it has ended, and whoever reads the answer may be slow.
//! Until the backend has answered, the beginning of the body is kept: a stream that was refused unprocessed (RFC 9113
//! section 8.7) is then sent elsewhere, which is how backends close connections that they have served long enough.

use std::cell::RefCell;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::Body;

use crate::upstream::error::BoxError;
use crate::upstream::request_body::RequestBody;
use crate::upstream::source::{Failed, Read, Source};
use crate::upstream::stopping::Stopping;

/// A body on its way. Dropping it stops it; a stream on which not all was sent is then reset.
#[derive(Debug)]
pub(super) struct Upload<B> {
    pump: Rc<RefCell<Pump<B>>>,
    task: Option<Stopping>,
}

#[derive(Debug)]
struct Pump<B> {
    source: Source<B>,
    stream: SendStream<Bytes>,
    /// Read and not sent.
    piece: Bytes,
}

/// Why a body is not sent to its end.
enum Stopped {
    /// The backend wants no more of it, or is gone.
    Unwanted,
    /// It failed: the backend has to see that it did.
    Failed,
}

impl From<Failed> for Stopped {
    fn from(_: Failed) -> Self {
        Self::Failed
    }
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Begins to send `body`, which is of `length` if that is known. For one that is there already no task is needed.
    pub(super) async fn start(body: RequestBody<B>, length: Option<u64>, stream: SendStream<Bytes>) -> Self {
        let pump = Pump { source: Source::new(body, length), stream, piece: Bytes::new() };
        let pump = Rc::new(RefCell::new(pump));
        let is_sent = poll_fn(|context| Poll::Ready(pump.borrow_mut().poll(context).is_ready())).await;
        let task = (!is_sent).then(|| {
            let pump = Rc::clone(&pump);
            let sending = poll_fn(move |context| pump.borrow_mut().poll(context));
            Stopping::spawn(sending)
        });
        Self { pump, task }
    }

    /// The backend has answered: it has begun with the request, which from now on is not sent elsewhere.
    pub(super) fn answered(self) -> Option<Stopping> {
        self.pump.borrow_mut().source.forget();
        self.task
    }

    /// The body as it was before any of it was sent, if all of that is still known.
    pub(super) fn take_back(self) -> Option<RequestBody<B>> {
        drop(self.task);
        self.pump.borrow_mut().source.take_back()
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
                match self.source.poll_read(context)? {
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
            // Not before there is room: whoever waits for the backend must not look as if it waited for the client.
            self.piece = self.source.join(mem::take(&mut self.piece), context)?;
            if self.send_piece()? {
                return Poll::Ready(Ok(()));
            }
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

    /// Sends as much of the piece as the backend has room for. Whether that was the end of the body.
    fn send_piece(&mut self) -> Result<bool, Stopped> {
        self.stream.reserve_capacity(self.piece.len());
        let part = self.piece.split_to(self.stream.capacity().min(self.piece.len()));
        let is_last = self.piece.is_empty() && self.source.is_at_end();
        self.stream.send_data(part, is_last).map_err(|_| Stopped::Unwanted)?;
        if !self.piece.is_empty() {
            self.source.wait_for_backend();
        }
        Ok(is_last)
    }

    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<(), Stopped> {
        match trailers {
            Some(trailers) => self.stream.send_trailers(trailers),
            None => self.stream.send_data(Bytes::new(), true),
        }
        .map_err(|_| Stopped::Unwanted)
    }
}
