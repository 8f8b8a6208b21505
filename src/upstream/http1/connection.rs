//! A connection to a backend.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;

use crate::net::deadline::Deadline;
use crate::net::stream::{ReadAhead, Stream};
use crate::upstream::stopping::Stopping;

/// A connection. Dropping it closes it, whatever it was doing.
#[derive(Debug)]
pub(in crate::upstream) struct Connection {
    pub(super) wire: Rc<Wire>,
    /// Read and not yet used.
    pub(super) buffer: BytesMut,
    /// The request's body, if that is still under way although the backend has answered.
    pub(super) upload: Option<Stopping>,
    /// A request could not be sent to its end: there can be no other.
    pub(super) is_spent: bool,
    pub(super) deadline: Deadline,
    pub(in crate::upstream) address: SocketAddr,
    /// Whether it has served a request before, so that the backend may be about to close it.
    pub(in crate::upstream) reused: bool,
}

/// The socket, which a request's body that outlasts the head of the response shares.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) stream: Stream,
    /// The request could not be sent to its end: whatever the response looks like, it is not whole.
    pub(super) is_cut: Cell<bool>,
}

impl Connection {
    /// Speaks HTTP/1.1 with `address`.
    pub(in crate::upstream) fn new(stream: Stream, address: SocketAddr) -> Self {
        Self {
            wire: Rc::new(Wire { stream, is_cut: Cell::new(false) }),
            buffer: BytesMut::new(),
            upload: None,
            is_spent: false,
            deadline: Deadline::default(),
            address,
            reused: false,
        }
    }

    /// Whether nothing has come while nobody asked for anything: not the end, and no bytes, which would be nobody's answer.
    pub(in crate::upstream) fn is_idle(&self) -> bool {
        self.wire.stream.is_quiet()
    }

    /// Whether its request is over on both sides, and nothing came behind the response. It holds no buffer from then on.
    pub(in crate::upstream) fn finish(&mut self) -> bool {
        let is_over = self.buffer.is_empty() && self.upload.take().is_none_or(|upload| upload.is_finished());
        self.buffer = BytesMut::new();
        is_over && !self.is_spent && !self.wire.is_cut.get()
    }

    /// The stream as it is, with what was read of it in front; `None` if a request is still being sent on it.
    pub(in crate::upstream) fn into_stream(self) -> Option<ReadAhead<Stream>> {
        let Wire { stream, is_cut } = Rc::into_inner(self.wire)?;
        (!is_cut.get()).then(|| stream.with_read_ahead(self.buffer))
    }
}
