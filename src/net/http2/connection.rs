//! The life of a connection: its streams begin and end, and it ends when nothing is under way, when the client does what
//! nobody has to put up with, or with the worker.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection as H2, SendResponse};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::task::{JoinSet, consume_budget};
use tokio::time::timeout;

use super::clock::{Clock, End};
use super::corked::Corked;
use super::exchange::Exchange;
use super::settings;
use super::watch::Watch;
use super::wire::Wire;
use crate::net::drain::Drain;
use crate::net::head::HeadError;
use crate::net::service::{Clients, Limits, Refusal, Service};

/// How long a client has for the last that is sent to it.
const GOODBYE: Duration = Duration::from_secs(2);
/// How much is read meanwhile and thrown away.
const GOODBYE_BYTES_MAX: usize = 256 * 1024;

/// Serves the streams of one connection until either side ends it.
pub async fn serve<S, T>(mut stream: T, service: Rc<S>, limits: Limits, drain: &Drain)
where
    S: Service<Body: 'static> + 'static,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let watch = Watch::new(S::CLIENTS);
    let corked = Corked::new(Wire::new(&mut stream, watch.clone()));
    let Some(h2) = corked.run(shake_hands(corked.clone(), limits, S::CLIENTS, drain)).await else { return };
    corked.run(Connection::new(h2, service, watch, limits, drain).run()).await;
    drop(corked);
    linger(&mut stream).await;
}

/// Answers the first request of a connection without looking at it, and closes the connection.
pub async fn refuse<S, T>(mut stream: T, service: &S, limits: Limits, refusal: Refusal)
where
    S: Service,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let corked = Corked::new(Wire::new(&mut stream, Watch::new(S::CLIENTS)));
    let answer = async {
        let Some(mut h2) = shake_hands(corked.clone(), limits, S::CLIENTS, &Drain::default()).await else { return };
        let Some(Ok((_, respond))) = h2.accept().await else { return };
        h2.graceful_shutdown();
        let exchange = Exchange { respond, limits, drain: Drain::default() };
        let _ = tokio::join!(exchange.refuse(service, refusal), poll_fn(|cx| h2.poll_closed(cx)));
    };
    let _ = timeout(GOODBYE, corked.run(answer)).await;
    drop(corked);
    linger(&mut stream).await;
}

/// Announces the settings and waits for the client's preface.
async fn shake_hands<T: AsyncRead + AsyncWrite + Unpin>(
    stream: T,
    limits: Limits,
    clients: Clients,
    drain: &Drain,
) -> Option<H2<T, Bytes>> {
    let handshake = settings::builder(limits, clients).handshake(stream);
    tokio::select! {
        shaken = timeout(limits.request_head, handshake) => shaken.ok()?.ok(),
        () = drain.started() => None,
    }
}

struct Connection<'a, S, T> {
    h2: H2<T, Bytes>,
    service: Rc<S>,
    limits: Limits,
    drain: &'a Drain,
    /// The streams that are being served. Dropped, they end with what they had begun upstream.
    streams: JoinSet<()>,
    clock: Clock,
}

impl<'a, S, T> Connection<'a, S, T>
where
    S: Service<Body: 'static> + 'static,
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn new(h2: H2<T, Bytes>, service: Rc<S>, watch: Watch, limits: Limits, drain: &'a Drain) -> Self {
        Self { h2, service, limits, drain, streams: JoinSet::new(), clock: Clock::new(watch, limits) }
    }

    async fn run(mut self) {
        if let Some(end) = self.until_end().await {
            self.record(end);
            // Nothing more is sent if `h2` has ended it already.
            self.h2.abrupt_shutdown(end.reason());
            let _ = timeout(GOODBYE, poll_fn(|cx| self.h2.poll_closed(cx))).await;
        }
    }

    /// Serves streams; `None` if the connection has ended by itself.
    async fn until_end(&mut self) -> Option<End> {
        let mut draining = false;
        loop {
            // First, and not only when nothing else is to be done: a client that never pauses would let them pile up.
            while self.streams.try_join_next().is_some() {}
            tokio::select! {
                biased;
                accepted = self.h2.accept() => match accepted? {
                    Ok((request, respond)) => self.begin(request, respond),
                    Err(error) => return End::by_rule(&error),
                },
                Some(_) = self.streams.join_next() => {}
                () = self.drain.started(), if !draining => {
                    draining = true;
                    self.h2.graceful_shutdown();
                    self.clock.hurry();
                }
                end = poll_fn(|cx| self.clock.poll_end(cx)) => return Some(end),
            }
            self.clock.set_open(self.streams.len());
            // With many requests at hand nothing else here waits, and the worker's other connections would have to.
            consume_budget().await;
        }
    }

    fn begin(&mut self, request: http::Request<RecvStream>, respond: SendResponse<Bytes>) {
        let exchange = Exchange { respond, limits: self.limits, drain: self.drain.clone() };
        // Boxed, since it is large, and a task's future is copied several times while the task is made and when it is over.
        self.streams.spawn_local(Box::pin(exchange.serve(request, Rc::clone(&self.service))));
    }

    /// What ends a whole connection is no answer to any request, but goes into log and metrics as a request that could
    /// not be read: somebody has to see it.
    fn record(&self, end: End) {
        let detail = match end {
            End::Idle | End::Blocked => return,
            End::SlowHead => "the header fields of an HTTP/2 request stopped arriving",
            End::Flood => "more HTTP/2 control frames or resets than are allowed",
            End::Broken => "HTTP/2 frames that break its rules",
        };
        drop(self.service.refuse(Refusal::Head(HeadError::Malformed(detail)), None));
    }
}

/// Reads on for a while after the last that was sent: closing a socket with unread bytes in it resets the connection, and
/// the reset can overtake the GOAWAY.
async fn linger<T: AsyncRead + Unpin>(stream: &mut T) {
    let mut left = GOODBYE_BYTES_MAX;
    let discard = async {
        let mut scratch = [0; 2048];
        while let Ok(bytes) = stream.read(&mut scratch).await {
            match left.checked_sub(bytes) {
                Some(rest) if bytes > 0 => left = rest,
                _ => return,
            }
        }
    };
    let _ = timeout(GOODBYE, discard).await;
}
