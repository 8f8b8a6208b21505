//! Tunnels: what a connection, or a stream of HTTP/2, becomes once both sides have agreed to speak another protocol on it
//! (RFC 9110 section 7.8, RFC 8441). Bytes are passed on as they are. All that is known of them is where the frames of a
//! WebSocket end, so that a tunnel that has to end can say so.

mod direction;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::rand;
use http::HeaderValue;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, timeout};

use self::direction::Direction;
use super::drain::Drain;
use super::ending::Ending;
use super::websocket::{CloseCode, MaskingKey, close_frame};

/// How long both sides of a WebSocket have to answer a close frame.
const GOODBYE: Duration = Duration::from_secs(2);
/// The same where the caller is not let in any more, which is noticed within half a second: after a second nothing goes on.
const GOODBYE_OF_FALLEN: Duration = Duration::from_millis(500);

/// Bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// One side of a tunnel.
pub trait Side: Io {
    /// Makes its end, once it is dropped, one that nobody takes for a clean one.
    fn abort(&self);
}

/// A tunnel that is to be: the backend's side, and how long it may last.
pub struct Tunnel {
    /// The backend's side.
    pub backend: Box<dyn Side>,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// How long until the caller's token expires; `None` if there was none.
    pub expires_in: Option<Duration>,
    /// Tells it to end before that, because the caller is not let in any more.
    pub ending: Rc<Ending>,
    /// What has passed.
    pub traffic: Rc<Traffic>,
}

/// What is spoken on a tunnel, as far as it matters for its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// WebSocket (RFC 6455): both sides get a close frame.
    WebSocket,
    /// Anything else: it is just closed.
    Other,
}

impl Protocol {
    /// The protocol of this name, as it stands in `Upgrade` and in `:protocol`.
    #[must_use]
    pub fn named(name: &HeaderValue) -> Self {
        if name.as_bytes().eq_ignore_ascii_case(b"websocket") { Self::WebSocket } else { Self::Other }
    }
}

/// How many bytes have passed through a tunnel.
#[derive(Debug, Default)]
pub struct Traffic {
    from_client: Rc<Cell<u64>>,
    from_backend: Rc<Cell<u64>>,
}

impl Traffic {
    /// So far: from the client, from the backend.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.from_client.get(), self.from_backend.get())
    }
}

/// Passes bytes between `client` and the backend until both have ended their sides, either fails, the caller's token
/// expires, it is told to end, or there was silence for `idle`: nothing in either direction, or one side not taking what the other has sent.
/// A side that ends what it sends is ended towards the other, and goes on receiving.
///
/// A WebSocket is told before its time is over: when the token expires, when it has to end, and when `drain` starts, both
/// sides get a close frame and a short while to answer it. Other protocols have no such word; they go on while `drain` lasts, and when one
/// side breaks the other is aborted, for an end would pass for what the first one meant to be the end.
pub async fn run(client: impl Side, tunnel: Tunnel, idle: Duration, drain: &Drain) {
    let is_websocket = tunnel.protocol == Protocol::WebSocket;
    let (expires_in, ending) = (tunnel.expires_in, Rc::clone(&tunnel.ending));
    let mut ends = Ends::new(client, tunnel, idle);
    let code = tokio::select! {
        biased;
        passed = ends.pass_on() => {
            if !is_websocket && passed.is_err_and(|error| error.kind() != io::ErrorKind::TimedOut) {
                ends.abort();
            }
            return;
        }
        () = passed(expires_in) => CloseCode::PolicyViolation,
        () = ending.told() => CloseCode::PolicyViolation,
        () = drain.started(), if is_websocket => CloseCode::GoingAway,
    };
    if is_websocket {
        ends.part(code);
        let goodbye = if code == CloseCode::PolicyViolation { GOODBYE_OF_FALLEN } else { GOODBYE };
        let _ = timeout(goodbye, ends.pass_on()).await;
    }
}

async fn passed(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

/// Both ends of a tunnel, and what is on its way between them.
struct Ends<C> {
    client: C,
    backend: Box<dyn Side>,
    up: Direction,
    down: Direction,
    idle: Duration,
}

impl<C: Side> Ends<C> {
    fn new(client: C, tunnel: Tunnel, idle: Duration) -> Self {
        let Tunnel { backend, protocol, expires_in: _, ending: _, traffic } = tunnel;
        let direction = |passed| Direction::new(protocol, Rc::clone(passed));
        Self { client, backend, up: direction(&traffic.from_client), down: direction(&traffic.from_backend), idle }
    }

    /// Returns when everything has been passed on, or nothing more can be. Can be dropped and called again.
    async fn pass_on(&mut self) -> io::Result<()> {
        let mut silence = pin!(sleep(self.idle));
        poll_fn(|cx| {
            if let Poll::Ready(end) = self.poll_pass_on(cx) {
                return Poll::Ready(end);
            }
            loop {
                // Not moved with every byte: when it fires there is time to see whether there was one.
                ready!(silence.as_mut().poll(cx));
                let deadline = self.quiet_since() + self.idle;
                if deadline <= silence.deadline() {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                silence.as_mut().reset(deadline);
            }
        })
        .await
    }

    fn poll_pass_on(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let up = self.up.poll(cx, &mut self.client, &mut self.backend)?;
        let down = self.down.poll(cx, &mut self.backend, &mut self.client)?;
        if up.is_ready() && down.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn abort(&self) {
        self.client.abort();
        self.backend.abort();
    }

    /// When the last byte moved; if somebody does not take what is there for them, the last one towards them.
    fn quiet_since(&self) -> Instant {
        let stuck = [&self.up, &self.down].into_iter().filter(|direction| direction.has_unsent());
        let stuck_since = stuck.map(Direction::moved).min();
        stuck_since.unwrap_or_else(|| self.up.moved().max(self.down.moved()))
    }

    /// Has both sides get a close frame once the frame that they are being sent is complete, and nothing behind it. The rest of a
    /// frame from a client that is not let in any more is not waited for, however long it says that it is.
    fn part(&mut self, code: CloseCode) {
        self.down.part(close_frame(code, None));
        if let Some(key) = masking_key() {
            self.up.part(close_frame(code, Some(key)));
        }
        if code == CloseCode::PolicyViolation {
            self.up.cut();
        }
    }
}

/// A key that nobody can foresee, as RFC 6455 section 5.3 asks.
fn masking_key() -> Option<MaskingKey> {
    let mut key = MaskingKey::default();
    rand::fill(&mut key).ok().map(|()| key)
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}
