//! A connection that requests share, and a request's place on it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, SendStream};
use http::Request;
use http::uri::Scheme;
use tokio::time::Instant;

use super::heard::Heard;
use super::keeper::keep;
use super::pool::Pool;
use super::{STREAMS_MAX, builder};
use crate::net::stream::Stream;
use crate::upstream::error::BoxError;
use crate::upstream::stopping::Stopping;

const CLOSED: &str = "it closed the connection before it spoke HTTP/2";

/// A connection. Once it is dropped it closes behind the last of its streams.
#[derive(Debug)]
pub(in crate::upstream) struct Shared {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
    /// Of the URLs of requests.
    scheme: Scheme,
    activity: Rc<Activity>,
}

/// What goes on on a connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// Requests that have a place on it.
    open: Cell<usize>,
    /// When `open` was last changed.
    changed: Cell<Instant>,
    /// Whether it was read from since whoever asks has last asked.
    pub(super) heard: Rc<Cell<bool>>,
    /// Whether a request was answered on it.
    served: Cell<bool>,
}

/// A request's place on a connection, from before it is sent to the end of the response. Dropping it stops the request's
/// body, if that is still under way.
#[derive(Debug)]
pub(in crate::upstream) struct Place {
    connection: Rc<Shared>,
    pool: Rc<Pool>,
    upload: Option<Stopping>,
}

impl Shared {
    /// Speaks HTTP/2 with `address`. Has to run within a `LocalRuntime` or a `LocalSet`, where the connection's task goes.
    ///
    /// # Errors
    /// The backend does not speak it.
    pub(in crate::upstream) async fn open(
        stream: Stream,
        address: SocketAddr,
        scheme: Scheme,
    ) -> Result<Rc<Self>, BoxError> {
        let (stream, heard) = Heard::new(stream);
        let (sender, mut connection) = builder().handshake(stream).await.map_err(no_http2)?;
        let mut pings = connection.ping_pong().ok_or("the connection has no pings left")?;
        // Its answer comes behind the backend's settings. From then on it is known how many streams there may be, and
        // what speaks no HTTP/2 was found out while there was nothing to lose.
        tokio::select! {
            pong = pings.ping(Ping::opaque()) => pong.map(|_pong| ()).map_err(no_http2)?,
            ended = &mut connection => return Err(ended.err().map_or_else(|| CLOSED.into(), no_http2)),
        }
        let activity = Rc::new(Activity::new(heard));
        let kept = keep(Rc::clone(&activity), pings);
        // The connection's errors also come to those who have a stream on it.
        tokio::task::spawn_local(async move {
            tokio::select! {
                _ended = connection => {}
                () = kept => {}
            }
        });
        Ok(Rc::new(Self { sender, address, scheme, activity }))
    }

    pub(super) fn address(&self) -> &SocketAddr {
        &self.address
    }

    /// Whether there can be further streams, as far as anybody can tell: not once the backend has said that it goes away.
    pub(super) fn is_open(&self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        !matches!(self.sender.clone().poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    pub(super) fn is_idle(&self) -> bool {
        self.activity.idle_since().is_some()
    }

    /// A place on it, if there is one left.
    pub(super) fn place(self: &Rc<Self>, pool: &Rc<Pool>) -> Option<Place> {
        let open = self.activity.open.get();
        if open >= self.sender.current_max_send_streams().min(STREAMS_MAX) {
            return None;
        }
        self.activity.set_open(open + 1);
        Some(Place { connection: Rc::clone(self), pool: Rc::clone(pool), upload: None })
    }
}

/// The text is ours: that of an error may quote the backend.
fn no_http2(error: h2::Error) -> BoxError {
    match error.into_io() {
        Some(error) => format!("{CLOSED}: {error}").into(),
        None => "it speaks no HTTP/2".into(),
    }
}

impl Activity {
    pub(super) fn new(heard: Rc<Cell<bool>>) -> Self {
        Self { open: Cell::new(0), changed: Cell::new(Instant::now()), heard, served: Cell::new(false) }
    }

    /// Since when there has been no request; `None` if there is one.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.open.get() == 0).then(|| self.changed.get())
    }

    fn set_open(&self, open: usize) {
        self.open.set(open);
        self.changed.set(Instant::now());
    }
}

impl Place {
    /// Of the URLs of requests.
    pub(super) fn scheme(&self) -> Scheme {
        self.connection.scheme.clone()
    }

    /// Whether the backend takes upgrades: extended CONNECT (RFC 8441 section 3).
    pub(in crate::upstream) fn takes_upgrades(&self) -> bool {
        self.connection.sender.is_extended_connect_protocol_enabled()
    }

    /// Sends a head. What h2 says that it cannot send, it has not sent.
    pub(super) fn send(
        &self,
        head: Request<()>,
        is_all: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A handle of its own: one that has a stream waiting to be opened takes no other.
        self.connection.sender.clone().send_request(head, is_all)
    }

    /// Whether the connection has served a request before, so that the backend may be about to close it.
    pub(super) fn is_reused(&self) -> bool {
        self.connection.activity.served.get()
    }

    /// The request was answered; `upload` is its body, if that is still under way.
    pub(super) fn answered(&mut self, upload: Option<Stopping>) {
        self.connection.activity.served.set(true);
        self.upload = upload;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let activity = &self.connection.activity;
        activity.set_open(activity.open.get().saturating_sub(1));
        self.pool.freed.notify_one();
    }
}
