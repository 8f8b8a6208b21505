//! Tunnels: what a connection, or a stream of HTTP/2, becomes once both sides have agreed to speak another protocol on it
//! (RFC 9110 section 7.8, RFC 8441).

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::time::timeout;

use super::drain::Drain;

/// The backend's side of a tunnel.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// A tunnel that is to be: the backend's side, and how long it may last.
pub struct Tunnel {
    /// The backend's side.
    pub backend: Box<dyn Io>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// How long until the caller's token expires; `None` if there was none.
    pub expires_in: Option<Duration>,
}

/// Passes bytes between `client` and the backend until both have ended their sides, either fails, or the caller's token
/// expires.
pub async fn run(mut client: impl Io, mut tunnel: Tunnel, _idle: Duration, _drain: &Drain) {
    let copy = copy_bidirectional(&mut client, &mut tunnel.backend);
    let _ = timeout(tunnel.expires_in.unwrap_or(Duration::MAX), copy).await;
}

/// What is spoken on a tunnel, as far as it matters for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// WebSocket (RFC 6455): both sides get a close frame.
    WebSocket,
    /// Anything else: it is just closed.
    Other,
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
