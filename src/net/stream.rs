//! A connection, with or without TLS or over a Unix socket, as the protocols above see it: a client's, or one to a backend.
//!
//! HTTP/1.1 uses it through a shared reference: the connection and the body of its current request both read, from one
//! thread and each in its turn. Without TLS that costs nothing, no lock and no system call that a bare socket would not
//! make. Whoever needs the whole stream (HTTP/2, a tunnel) takes it by value, as [`AsyncRead`] and [`AsyncWrite`].

mod read_ahead;

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::unconstrained;
use tokio::time::timeout;
use tokio_rustls::{TlsStream, client, server};

pub use self::read_ahead::ReadAhead;
use super::tunnel::{Io, Side};
use super::{buffers, tls};

/// How long to go on reading after the last that is sent.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read then.
const LINGER_BYTES_MAX: usize = 256 * 1024;

/// A connection.
pub struct Stream(Kind);

enum Kind {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<RefCell<TlsStream<TcpStream>>>),
}

impl From<TcpStream> for Stream {
    fn from(tcp: TcpStream) -> Self {
        Self(Kind::Plain(tcp))
    }
}

impl From<UnixStream> for Stream {
    fn from(unix: UnixStream) -> Self {
        Self(Kind::Unix(unix))
    }
}

impl From<server::TlsStream<TcpStream>> for Stream {
    fn from(tls: server::TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(Box::new(RefCell::new(tls.into()))))
    }
}

impl From<client::TlsStream<TcpStream>> for Stream {
    fn from(tls: client::TlsStream<TcpStream>) -> Self {
        Self(Kind::Tls(Box::new(RefCell::new(tls.into()))))
    }
}

impl Stream {
    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self.0, Kind::Tls(_))
    }

    /// Whether client and gateway have agreed on HTTP/2 in the handshake (ALPN, RFC 7301).
    #[must_use]
    pub fn has_agreed_on_http2(&self) -> bool {
        match &self.0 {
            Kind::Plain(_) | Kind::Unix(_) => false,
            Kind::Tls(tls) => tls.borrow().get_ref().1.alpn_protocol() == Some(tls::H2),
        }
    }

    /// The stream with bytes in front of it that were read from it already.
    #[must_use]
    pub fn with_read_ahead(self, ahead: BytesMut) -> ReadAhead<Self> {
        ReadAhead::new(ahead.freeze(), self)
    }

    /// Reads into the room behind what is in `buffer`, which is made if there is not enough for `wanted` bytes; over TLS
    /// not before there is something to read. `Ok(0)` is the clean end.
    ///
    /// # Errors
    /// The connection failed. That includes TLS that ends without close_notify: whoever cut it may have cut off what came
    /// before (RFC 8446 section 6.1).
    pub fn poll_read_buf(&self, cx: &mut Context<'_>, buffer: &mut BytesMut, wanted: usize) -> Poll<io::Result<usize>> {
        match &self.0 {
            Kind::Plain(tcp) => loop {
                ready!(tcp.poll_read_ready(cx))?;
                match try_fill(tcp, buffer, wanted) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            Kind::Unix(unix) => loop {
                ready!(unix.poll_read_ready(cx))?;
                buffers::reserve(buffer, wanted);
                match unix.try_read_buf(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
            Kind::Tls(tls) => {
                let tls = &mut *tls.borrow_mut();
                let mut decrypted = ready!(Pin::new(&mut *tls).poll_fill_buf(cx))?;
                decrypted = decrypted.get(..wanted).unwrap_or(decrypted);
                buffers::reserve(buffer, decrypted.len());
                buffer.extend_from_slice(decrypted);
                let read = decrypted.len();
                Pin::new(tls).consume(read);
                Poll::Ready(Ok(read))
            }
        }
    }

    /// Writes some of `bytes`. What TLS has taken may still be on its way: see [`Stream::poll_flush`].
    ///
    /// # Errors
    /// The connection failed.
    pub fn poll_write(&self, cx: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Kind::Plain(tcp) => loop {
                match try_write(tcp, bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(tcp.poll_write_ready(cx))?,
                    done => return Poll::Ready(done),
                }
            },
            Kind::Unix(unix) => loop {
                match unix.try_write_vectored(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(unix.poll_write_ready(cx))?,
                    done => return Poll::Ready(done),
                }
            },
            Kind::Tls(tls) => Pin::new(&mut *tls.borrow_mut()).poll_write_vectored(cx, bytes),
        }
    }

    /// Whether nothing has come that was not read: no byte, and not the end. Costs a system call only where the last read may
    /// have left something.
    pub fn is_quiet(&self) -> bool {
        match &self.0 {
            Kind::Plain(tcp) => would_block(tcp.try_read(&mut [0])),
            Kind::Unix(unix) => would_block(unix.try_read(&mut [0])),
            Kind::Tls(tls) => {
                let tls = &mut *tls.borrow_mut();
                let look = poll_fn(|cx| Poll::Ready(Pin::new(&mut *tls).poll_fill_buf(cx).is_pending()));
                // A task that has used up its turn would be told that there is nothing, whatever there is.
                let look = pin!(unconstrained(look));
                look.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
            }
        }
    }

    /// Hands all that was written to the operating system.
    ///
    /// # Errors
    /// The connection failed.
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Plain(_) | Kind::Unix(_) => Poll::Ready(Ok(())),
            Kind::Tls(tls) => Pin::new(&mut *tls.borrow_mut()).poll_flush(cx),
        }
    }

    /// Ends our side and reads on for a while: closing a socket with unread bytes in it resets the connection, and the
    /// reset can overtake what was sent last (RFC 9112 section 9.6).
    pub async fn linger(&self) {
        let mut left = LINGER_BYTES_MAX;
        let linger = async {
            poll_fn(|cx| self.poll_end(cx)).await?;
            let mut scratch = vec![0; 2048];
            loop {
                match poll_fn(|cx| self.poll_discard(cx, &mut scratch)).await? {
                    bytes if bytes > 0 && bytes < left => left -= bytes,
                    _ => return io::Result::Ok(()),
                }
            }
        };
        let _ = timeout(LINGER, linger).await;
    }

    /// Ends our side and leaves the other one open: close_notify, then FIN.
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Kind::Plain(tcp) => Poll::Ready(SockRef::from(tcp).shutdown(Shutdown::Write)),
            Kind::Unix(unix) => Poll::Ready(SockRef::from(unix).shutdown(Shutdown::Write)),
            Kind::Tls(tls) => Pin::new(&mut *tls.borrow_mut()).poll_shutdown(cx),
        }
    }

    /// Reads what still comes, to throw it away; over TLS without decrypting it. `Ok(0)` is the end.
    fn poll_discard(&self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let tls;
        let tcp = match &self.0 {
            Kind::Plain(tcp) => tcp,
            // Its end does not overtake what was sent before.
            Kind::Unix(_) => return Poll::Ready(Ok(0)),
            Kind::Tls(encrypted) => {
                tls = encrypted.borrow();
                tls.get_ref().0
            }
        };
        loop {
            ready!(tcp.poll_read_ready(cx))?;
            match tcp.try_read(scratch) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }

    /// Ends a connection on which nothing is under way, without waiting for anything. A client can then tell this end
    /// from one that somebody else made.
    pub fn close(&self) {
        if self.is_tls() {
            let _ = self.poll_end(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Makes the end of the connection, once it is dropped, one that nobody takes for a clean one: a reset, and over TLS no
    /// close_notify.
    pub fn abort(&self) {
        let _ = match &self.0 {
            Kind::Plain(tcp) => tcp.set_zero_linger(),
            Kind::Unix(_) => Ok(()),
            Kind::Tls(tls) => tls.borrow().get_ref().0.set_zero_linger(),
        };
    }

    /// Ends both directions at once. Whoever reads is told that the connection has ended.
    pub fn cut(&self) {
        let _ = match &self.0 {
            Kind::Plain(tcp) => SockRef::from(tcp).shutdown(Shutdown::Both),
            Kind::Unix(unix) => SockRef::from(unix).shutdown(Shutdown::Both),
            Kind::Tls(tls) => SockRef::from(tls.borrow().get_ref().0).shutdown(Shutdown::Both),
        };
    }

    fn as_io(&mut self) -> Pin<&mut dyn Io> {
        match &mut self.0 {
            Kind::Plain(tcp) => Pin::new(tcp),
            Kind::Unix(unix) => Pin::new(unix),
            Kind::Tls(tls) => Pin::new(tls.get_mut()),
        }
    }
}

impl Side for Stream {
    fn abort(&self) {
        Self::abort(self);
    }
}

/// Reads once. A read that comes back short has emptied the socket: the next one would only be told so, by a system call
/// for each request. Whatever arrives from now on is a new event (`epoll(7)`, edge-triggered; tokio's own reads do the
/// same).
fn try_fill(tcp: &TcpStream, buffer: &mut BytesMut, wanted: usize) -> io::Result<usize> {
    buffers::reserve(buffer, wanted);
    let room = buffer.capacity() - buffer.len();
    let read = tcp.try_read_buf(buffer)?;
    if 0 < read && read < room {
        let _ = tcp.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
    Ok(read)
}

/// One piece is sent with `send`, which costs the kernel less than `writev` (no vector to copy in, no file position to hold).
fn try_write(tcp: &TcpStream, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
    let mut pieces = bytes.iter().filter(|piece| !piece.is_empty());
    match (pieces.next(), pieces.next()) {
        (Some(only), None) => try_send(tcp, only),
        _ => tcp.try_write_vectored(bytes),
    }
}

/// Without the C library in between, whose `send` is a point where a thread can be cancelled: that costs two locked additions.
#[cfg(target_os = "linux")]
fn try_send(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    use rustix::net::{SendFlags, send};
    tcp.try_io(Interest::WRITABLE, || Ok(send(tcp, bytes, SendFlags::NOSIGNAL)?))
}

#[cfg(not(target_os = "linux"))]
fn try_send(tcp: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    tcp.try_write(bytes)
}

fn would_block(read: io::Result<usize>) -> bool {
    read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.as_io().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.as_io().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.as_io().poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_io().poll_shutdown(cx)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("is_tls", &self.is_tls()).finish_non_exhaustive()
    }
}
