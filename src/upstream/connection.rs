//! One HTTP/1.1 connection to a backend, and how it is made.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

use super::error::BoxError;
use super::request_body::RequestBody;
use super::transport::Transport;
use crate::net::tunnel::Side;

/// Longest response head, longest trailers, and how much of a body a connection holds in each direction, in bytes.
const BUFFER_MAX: usize = 64 * 1024;
/// Most fields of a response head. As many as hyper finds room for without allocating.
const FIELDS_MAX: usize = 100;

/// A connection. Dropping it closes it, whatever it was doing.
#[derive(Debug)]
pub(super) struct Connection<B> {
    pub(super) sender: SendRequest<RequestBody<B>>,
    pub(super) address: SocketAddr,
    /// Whether it has served a request before, so that the backend may be about to close it.
    pub(super) reused: bool,
    heard: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl<B> Connection<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// Speaks HTTP/1.1 with `address`. Has to run within a `LocalRuntime` or a `LocalSet`, where the connection's task
    /// goes.
    pub(super) async fn open(stream: Transport, address: SocketAddr) -> Result<Self, BoxError> {
        let (stream, heard) = Heard::new(stream);
        let (sender, connection) = Builder::new()
            .max_buf_size(BUFFER_MAX)
            .max_header_size(BUFFER_MAX)
            .max_headers(FIELDS_MAX)
            .handshake(TokioIo::new(stream))
            .await?;
        // Its errors also come to whoever waits for the response or reads its body.
        let task = tokio::task::spawn_local(async { drop(connection.with_upgrades().await) });
        Ok(Self { sender, address, reused: false, heard, task })
    }
}

impl<B> Connection<B> {
    /// Forgets what was heard, before a request is sent.
    pub(super) fn listen(&self) {
        self.heard.store(false, Ordering::Relaxed);
    }

    /// Whether a byte came back since [`Self::listen`].
    pub(super) fn heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }
}

impl<B> Drop for Connection<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket that notes when it was read from. hyper does not tell a backend that closed in silence from one that closed
/// in the middle of a response head, and only after the former may a request be sent again.
///
/// It is outside of TLS: what a handshake leaves over is no answer. The flag never leaves its thread; it is an atomic
/// because hyper gives a connection away, at an upgrade, only if any thread could have it.
pub(super) struct Heard {
    stream: Transport,
    heard: Arc<AtomicBool>,
}

impl Heard {
    /// Over `stream`. What is noted is in the flag.
    pub(super) fn new(stream: Transport) -> (Self, Arc<AtomicBool>) {
        let heard = Arc::new(AtomicBool::new(false));
        (Self { stream, heard: Arc::clone(&heard) }, heard)
    }
}

impl Side for Heard {
    fn abort(&self) {
        let _ = self.stream.tcp().set_zero_linger();
    }
}

impl AsyncRead for Heard {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.heard.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
