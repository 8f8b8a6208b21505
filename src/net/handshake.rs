//! TLS handshakes with clients.
//!
//! One costs a worker up to a millisecond of its only thread (the signature of an RSA key), a request some ten
//! microseconds. When a thousand clients come back at once, requests on old connections would wait for all of them. So
//! handshakes take turns: after each, all else that is ready is served. What has a turn is the computation alone. A bound on
//! handshakes under way would be one that clients who just stay silent use up; those are bounded by their time, and by
//! the number of connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::drain::Drain;
use super::stream::Stream;

/// The handshakes of one worker.
#[derive(Debug)]
pub struct Handshakes {
    turns: Semaphore,
}

/// What a client that begins to speak turns out to speak.
#[derive(Debug)]
pub enum Opened {
    /// TLS, and the handshake is over.
    Tls(Stream),
    /// Something that starts with a letter, which is HTTP without TLS. Nothing of it was read.
    PlainHttp(Stream),
}

/// Why there is no TLS. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client said nothing at all: a probe of the port, or a connection made for later use.
    #[error("the client did not begin")]
    Silent,
    /// It began, and did not end in time.
    #[error("the handshake did not end in time")]
    TooSlow,
    /// The two sides did not come to an agreement, or the connection failed.
    #[error(transparent)]
    Failed(io::Error),
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { turns: Semaphore::new(1) }
    }
}

impl Handshakes {
    /// Shakes hands. A client that has not begun when the worker drains is not waited for.
    ///
    /// # Errors
    /// [`HandshakeError`]; the client has been told by an alert, and the connection is over.
    pub async fn open(
        &self,
        tcp: TcpStream,
        config: Arc<ServerConfig>,
        within: Duration,
        drain: &Drain,
    ) -> Result<Opened, HandshakeError> {
        let deadline = Instant::now() + within;
        let first = tokio::select! {
            biased;
            first = timeout_at(deadline, first_byte(&tcp)) => first.ok().flatten(),
            () = drain.started() => None,
        };
        // The first byte of TLS is the type of a record (RFC 8446 section 5.1), of which none is a letter.
        if first.ok_or(HandshakeError::Silent)?.is_ascii_alphabetic() {
            return Ok(Opened::PlainHttp(tcp.into()));
        }
        let shaken = timeout_at(deadline, self.shake(tcp, config)).await.map_err(|_| HandshakeError::TooSlow)?;
        match shaken {
            Ok(tls) => Ok(Opened::Tls(tls.into())),
            Err((error, tcp)) => {
                if let Some(tcp) = tcp {
                    // So that the client gets to read the alert.
                    Stream::from(tcp).linger().await;
                }
                Err(HandshakeError::Failed(error))
            }
        }
    }

    async fn shake(
        &self,
        tcp: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), tcp);
        let hello = match (&mut acceptor).await {
            Ok(hello) => hello,
            Err(error) => return Err((error, acceptor.take_io())),
        };
        let turn = self.turns.acquire().await;
        // Computes all of our side's share.
        let handshake = hello.into_stream(config);
        yield_now().await;
        drop(turn);
        handshake.into_fallible().await.map_err(|(error, tcp)| (error, Some(tcp)))
    }
}

/// The first byte that comes, which stays where it is; `None` if nothing does before the end.
async fn first_byte(tcp: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let read = tcp.peek(&mut first).await.ok()?;
    (read > 0).then_some(first[0])
}
