//! The client's body on its way to the backend, watched: the time limit of a request starts when its body has ended, and
//! a body that failed is the client's fault and not the backend's.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::error::BoxError;

/// A request body, and a note of how far it came. Without content there is nothing to note and nothing is allocated.
#[derive(Debug)]
pub(super) struct RequestBody<B>(Option<Box<Content<B>>>);

#[derive(Debug)]
struct Content<B> {
    /// What was read of it when it was sent in vain, the last piece first.
    before: Vec<Bytes>,
    inner: B,
    upload: Rc<Upload>,
}

/// How far a request body came.
pub(super) struct Upload {
    stage: Cell<Stage>,
    waiting: Cell<Option<Waker>>,
    error: Cell<Option<BoxError>>,
}

/// Whom a request body waits for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stage {
    /// For the client to send more. How long that may take is the front's business.
    Client,
    /// For the backend to take what it was given, since then.
    Backend(Instant),
    /// For nobody: it ended then.
    Ended(Instant),
}

impl<B: Body> RequestBody<B> {
    /// Watches `body`, which is not needed any more if it has no content.
    pub(super) fn new(body: B) -> Self {
        if body.is_end_stream() {
            return Self::empty();
        }
        let upload = Rc::new(Upload {
            stage: Cell::new(Stage::Backend(Instant::now())),
            waiting: Cell::default(),
            error: Cell::default(),
        });
        Self(Some(Box::new(Content { before: Vec::new(), inner: body, upload })))
    }

    /// A body without content: of a request that has none, or whose body is elsewhere.
    pub(super) fn empty() -> Self {
        Self(None)
    }

    /// The same with `pieces` before it, which have been read from it already.
    pub(super) fn behind(mut self, mut pieces: Vec<Bytes>) -> Self {
        if let Some(content) = &mut self.0 {
            pieces.reverse();
            content.before.extend(pieces);
        }
        self
    }

    /// Whoever sends it waits for the backend to take what was read, from now on.
    pub(super) fn wait_for_backend(&self) {
        if let Some(Content { upload, .. }) = self.0.as_deref()
            && matches!(upload.stage.get(), Stage::Client)
        {
            upload.stage.set(Stage::Backend(Instant::now()));
        }
    }

    /// It is not as long as its length has said: that is its own failure.
    pub(super) fn fail_by_length(&self) {
        if let Some(content) = &self.0 {
            content.upload.fail("the client's body was not as long as its length".into());
        }
    }

    /// How far it came, if there is a way to go.
    pub(super) fn upload(&self) -> Option<Rc<Upload>> {
        self.0.as_ref().map(|content| Rc::clone(&content.upload))
    }
}

impl Upload {
    /// Whom the body waits for.
    pub(super) fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Whom the body waits for; the task of `context` is woken when it has ended.
    pub(super) fn stage_or_wake(&self, context: &Context<'_>) -> Stage {
        if !matches!(self.stage.get(), Stage::Ended(_)) {
            self.waiting.set(Some(context.waker().clone()));
        }
        self.stage.get()
    }

    /// The error that the body ended in.
    pub(super) fn take_error(&self) -> Option<BoxError> {
        self.error.take()
    }

    fn fail(&self, error: BoxError) {
        self.error.set(Some(error));
        self.end();
    }

    fn end(&self) {
        if !matches!(self.stage.get(), Stage::Ended(_)) {
            self.stage.set(Stage::Ended(Instant::now()));
            if let Some(waker) = self.waiting.take() {
                waker.wake();
            }
        }
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload").field("stage", &self.stage).finish_non_exhaustive()
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(Content { before, inner, upload }) = self.0.as_deref_mut() else { return Poll::Ready(None) };
        if let Some(piece) = before.pop() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match Pin::new(&mut *inner).poll_frame(context) {
            Poll::Pending => {
                upload.stage.set(Stage::Client);
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                upload.stage.set(Stage::Backend(Instant::now()));
                if inner.is_end_stream() || frame.is_trailers() {
                    upload.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                upload.fail(error.into());
                Poll::Ready(Some(Err("the client's body failed".into())))
            }
            Poll::Ready(None) => {
                upload.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|content| content.before.is_empty() && content.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(Content { before, inner, .. }) = self.0.as_deref() else { return SizeHint::with_exact(0) };
        let (inner, before) = (inner.size_hint(), before.iter().map(|piece| piece.len() as u64).sum::<u64>());
        inner.exact().map_or(inner, |length| SizeHint::with_exact(before + length))
    }
}

impl<B> Drop for Content<B> {
    /// A body is dropped when the connection takes no more of it: nothing will come any more, so the clock starts.
    fn drop(&mut self) {
        self.upload.end();
    }
}
