//! A stream, and what was read from it before somebody else took it over.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::tunnel::Side;

/// Reads what was read ahead, then the stream. Writes to the stream.
#[derive(Debug)]
pub struct ReadAhead<T> {
    ahead: Bytes,
    stream: T,
}

impl<T> ReadAhead<T> {
    /// `stream`, of which `ahead` was read already.
    pub fn new(ahead: Bytes, stream: T) -> Self {
        Self { ahead, stream }
    }

    /// The stream, to be aborted for one; what was read ahead of it is not in it.
    pub fn stream(&self) -> &T {
        &self.stream
    }
}

impl<T: Side> Side for ReadAhead<T> {
    fn abort(&self) {
        self.stream.abort();
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let take = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(take));
        if self.ahead.is_empty() {
            // Its memory may be a large buffer, and the stream may live for long.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn what_was_read_ahead_comes_first_however_it_is_read() {
        let runtime = Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut client, server) = tokio::io::duplex(64);
            client.write_all(b" and after").await.unwrap();
            client.shutdown().await.unwrap();
            let mut stream = ReadAhead::new(Bytes::from_static(b"before"), server);
            let mut start = [0; 4];
            stream.read_exact(&mut start).await.unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).await.unwrap();
            assert_eq!((&start, rest.as_str()), (b"befo", "re and after"));
            stream.write_all(b"answer").await.unwrap();
            drop(stream);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "answer");
        });
    }
}
