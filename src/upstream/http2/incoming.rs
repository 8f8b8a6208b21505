//! A response's body on its way from the backend, on a stream of HTTP/2.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http_body::{Body, Frame, SizeHint};

/// The body of a response. Dropping it resets its stream, if that is not at its end.
#[derive(Debug)]
pub(in crate::upstream) struct Incoming {
    stream: RecvStream,
    /// How much is to come, if the head said so. h2 holds the backend to it.
    left: Option<u64>,
}

impl Incoming {
    /// The body on `stream`, as long as its head has said.
    pub(super) fn new(stream: RecvStream, length: Option<u64>) -> Self {
        let left = if stream.is_end_stream() { Some(0) } else { length };
        Self { stream, left }
    }

    fn received(&mut self, data: Bytes) -> Result<Frame<Bytes>, h2::Error> {
        // Whoever reads on has taken it: the backend may send as much again.
        self.stream.flow_control().release_capacity(data.len())?;
        self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
        Ok(Frame::data(data))
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        match ready!(self.stream.poll_data(context)) {
            Some(data) => Poll::Ready(Some(data.and_then(|data| self.received(data)))),
            None => {
                let trailers = ready!(self.stream.poll_trailers(context)).transpose();
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
