//! A request's body as it is read: held to the length that its head has said, and its beginning kept.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Body;

use crate::upstream::error::BoxError;
use crate::upstream::request_body::RequestBody;

/// Most of a body that is kept, in bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;
/// Most pieces of it that are kept, since each may hold on to the memory that it was read into.
const KEPT_PIECES_MAX: usize = 16;
/// Pieces below this length, in bytes, are joined where several are there.
const SMALL: usize = 8 * 1024;

/// A body that is read.
#[derive(Debug)]
pub(super) struct Source<B> {
    body: RequestBody<B>,
    /// Read already.
    ahead: Option<Read>,
    /// How much is to come, if the head said so.
    left: Option<u64>,
    /// All that has been read; `None` if that is no longer known.
    kept: Option<Vec<Bytes>>,
}

/// What a body goes on with.
#[derive(Debug)]
pub(super) enum Read {
    Piece(Bytes),
    End(Option<HeaderMap>),
}

/// A body that failed. Why is with the body.
#[derive(Debug)]
pub(super) struct Failed;

impl<B: Body> Source<B> {
    /// Reads `body`, which is of `length` if that is known.
    pub(super) fn new(body: RequestBody<B>, length: Option<u64>) -> Self {
        Self { body, ahead: None, left: length, kept: Some(Vec::new()) }
    }

    /// What was read is with the backend to take.
    pub(super) fn wait_for_backend(&self) {
        self.body.wait_for_backend();
    }

    /// Forgets what has been read.
    pub(super) fn forget(&mut self) {
        self.kept = None;
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

    fn count(&mut self, piece: &Bytes) -> Result<(), Failed> {
        let Some(left) = &mut self.left else { return Ok(()) };
        *left = left.checked_sub(piece.len() as u64).ok_or(Failed).inspect_err(|_| self.body.fail_by_length())?;
        Ok(())
    }

    /// Everything has been read. All of it has to be there, and what came as trailers is not kept.
    fn end(&mut self, trailers: Option<HeaderMap>) -> Result<Read, Failed> {
        if self.left.is_some_and(|left| left > 0) {
            self.body.fail_by_length();
            return Err(Failed);
        }
        if trailers.is_some() {
            self.forget();
        }
        Ok(Read::End(trailers))
    }
}

impl<B> Source<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    /// What comes next.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<Read, Failed>> {
        if let Some(read) = self.ahead.take() {
            return Poll::Ready(Ok(read));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context)).transpose().map_err(|_| Failed)?;
        let Some(frame) = frame else { return Poll::Ready(self.end(None)) };
        match frame.into_data() {
            Ok(piece) => {
                self.count(&piece)?;
                self.keep(&piece);
                Poll::Ready(Ok(Read::Piece(piece)))
            }
            Err(frame) => Poll::Ready(self.end(frame.into_trailers().ok())),
        }
    }

    /// A small piece with those behind it that are there already; any other as it is. Each would be a frame, and backends
    /// close connections on which many small ones pile up.
    pub(super) fn join(&mut self, piece: Bytes, context: &mut Context<'_>) -> Result<Bytes, Failed> {
        let mut joined = BytesMut::new();
        while self.ahead.is_none() && piece.len().max(joined.len()) < SMALL {
            match self.poll_read(context)? {
                Poll::Ready(Read::Piece(more)) if more.len() < SMALL => {
                    if joined.is_empty() {
                        joined.reserve(2 * SMALL);
                        joined.extend_from_slice(&piece);
                    }
                    joined.extend_from_slice(&more);
                }
                Poll::Ready(read) => self.ahead = Some(read),
                Poll::Pending => break,
            }
        }
        Ok(if joined.is_empty() { piece } else { joined.freeze() })
    }

    /// Whether nothing comes any more, and all came that the head has promised.
    pub(super) fn is_at_end(&self) -> bool {
        self.ahead.is_none() && self.body.is_end_stream() && self.left.is_none_or(|left| left == 0)
    }

    /// The body as it was before any of it was read, if all of that is still known.
    pub(super) fn take_back(&mut self) -> Option<RequestBody<B>> {
        let kept = self.kept.take()?;
        Some(mem::replace(&mut self.body, RequestBody::empty()).behind(kept))
    }
}
