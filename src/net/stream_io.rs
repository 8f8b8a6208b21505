//! A stream of HTTP/2 as a sequence of bytes, for what is tunnelled through it (RFC 8441): the payload of its DATA frames.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tunnel::Side;

/// Both directions of a stream. Dropped before both have ended, it resets the stream.
pub struct StreamIo {
    receive: RecvStream,
    /// Received and not yet read. Its room in the window is given back when it is.
    unread: Bytes,
    send: SendStream<Bytes>,
    ended: bool,
}

impl StreamIo {
    /// Of the two halves of one stream.
    #[must_use]
    pub fn new(receive: RecvStream, send: SendStream<Bytes>) -> Self {
        Self { receive, unread: Bytes::new(), send, ended: false }
    }

    /// How many bytes, of those wanted, the other side has room for: at least one.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.send.reserve_capacity(wanted);
        while self.send.capacity() == 0 {
            match ready!(self.send.poll_capacity(cx)) {
                Some(granted) => drop(granted.map_err(broken)?),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        Poll::Ready(Ok(self.send.capacity().min(wanted)))
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.unread.is_empty() {
            match ready!(this.receive.poll_data(cx)) {
                Some(data) => this.unread = data.map_err(broken)?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = this.unread.len().min(buffer.remaining());
        buffer.put_slice(this.unread.get(..length).unwrap_or_default());
        this.unread.advance(length);
        Poll::Ready(this.receive.flow_control().release_capacity(length).map_err(broken))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx, bytes.len()))?;
        let taken = Bytes::copy_from_slice(bytes.get(..room).unwrap_or(bytes));
        let sent = self.send.send_data(taken, false).map_err(broken);
        Poll::Ready(sent.map(|()| room))
    }

    /// What was written is the connection's to send.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ended, true) {
            self.send.send_data(Bytes::new(), true).map_err(broken)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Side for StreamIo {
    /// It is one of its own that resets a stream which has not ended.
    fn abort(&self) {}
}

fn broken(error: h2::Error) -> io::Error {
    error.into_io().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}

impl fmt::Debug for StreamIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamIo").field("ended", &self.ended).finish_non_exhaustive()
    }
}
