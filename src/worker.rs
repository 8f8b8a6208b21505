//! A worker: one thread, one runtime, its own listening sockets, connections and memory. Workers share nothing that a
//! request would have to wait for.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use crate::net::drain::Drain;
use crate::net::http1;
use crate::net::http2;
use crate::net::service::{Limits, Refusal, Service};

/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections over the limit that are told so at a time; those beyond are closed without a word.
const REFUSED_MAX: usize = 256;

/// Where the process stands, told to all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Requests are served.
    Serving,
    /// What is in flight is finished within this time, and nothing new is begun.
    Draining(Duration),
}

/// Makes the service of each connection.
pub trait Connect {
    /// What answers the connection's requests.
    type Service: Service + 'static;

    /// The bounds of a connection that is accepted now.
    fn limits(&self) -> Limits;

    /// The service for a connection from `peer` to `local`.
    fn connect(&self, peer: SocketAddr, local: SocketAddr) -> Self::Service;
}

/// Counts the connections of the process, up to a limit.
#[derive(Debug)]
pub struct ConnectionCount {
    open: AtomicUsize,
    max: AtomicUsize,
}

impl ConnectionCount {
    /// Room for `max` connections.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { open: AtomicUsize::new(0), max: AtomicUsize::new(max) }
    }

    /// How many are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Makes room for `max` from now on. Connections that are open stay.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn enter(self: &Arc<Self>) -> (Entered, Place) {
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let max = self.max.load(Ordering::Relaxed);
        let place = match before {
            before if before < max => Place::Served,
            before if before < max.saturating_add(REFUSED_MAX) => Place::Refused,
            _ => Place::Dropped,
        };
        (Entered(Arc::clone(self)), place)
    }
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Served,
    Refused,
    Dropped,
}

/// One connection's place; given back when dropped.
struct Entered(Arc<ConnectionCount>);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A runtime for the calling thread alone.
///
/// # Errors
/// The operating system refuses what a runtime needs.
pub fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// Serves the connections of some listeners on the calling thread's runtime, until draining is over.
///
/// # Errors
/// A listener cannot be handed to the runtime.
pub async fn serve<C: Connect + 'static>(
    listeners: Vec<StdListener>,
    connect: C,
    count: Arc<ConnectionCount>,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let worker = Rc::new(Worker { connect, count, drain: Drain::default(), live: Live::default() });
    for listener in listeners {
        let listener = TcpListener::from_std(listener)?;
        tokio::task::spawn_local(Rc::clone(&worker).accept(listener));
    }
    let drain = loop {
        match *phase.borrow_and_update() {
            Phase::Draining(within) => break within,
            Phase::Serving => {}
        }
        if phase.changed().await.is_err() {
            break Duration::ZERO;
        }
    };
    worker.drain.start();
    let _ = timeout(drain, worker.live.none_left()).await;
    Ok(())
}

struct Worker<C> {
    connect: C,
    count: Arc<ConnectionCount>,
    drain: Drain,
    live: Live,
}

impl<C: Connect + 'static> Worker<C> {
    /// Accepts until the worker drains. The listening socket is then closed, and the kernel gives what comes to nobody.
    async fn accept(self: Rc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.started() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.begin(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn begin(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let local = stream.local_addr().unwrap_or(peer);
        let worker = Rc::clone(self);
        self.live.begin();
        tokio::task::spawn_local(async move {
            let _ended = worker.live.at_end();
            let service = Rc::new(worker.connect.connect(peer, local));
            let limits = worker.connect.limits();
            let (_entered, place) = worker.count.enter();
            let http2 = place != Place::Dropped && speaks_http2(&stream, limits.request_head, &worker.drain).await;
            match place {
                Place::Served if http2 => http2::serve(stream, service, limits, &worker.drain).await,
                Place::Refused if http2 => {
                    http2::refuse(stream, &*service, limits, Refusal::TooManyConnections).await;
                }
                Place::Served => http1::serve(stream, &*service, limits, &worker.drain).await,
                Place::Refused => http1::refuse(stream, &*service, limits, Refusal::TooManyConnections).await,
                Place::Dropped => {}
            }
        });
    }
}

/// Whether a connection begins with the preface of HTTP/2 (RFC 9113 section 3.4), whose first word is no method.
async fn speaks_http2(stream: &TcpStream, within: Duration, drain: &Drain) -> bool {
    let mut first = [0; 4];
    tokio::select! {
        peeked = timeout(within, stream.peek(&mut first)) => matches!(peeked, Ok(Ok(4))) && first == *b"PRI ",
        () = drain.started() => false,
    }
}

/// Errors of `accept` that concern only the connection that was to be accepted (`accept(2)`).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// The live connections of a worker.
#[derive(Default)]
struct Live {
    connections: Cell<usize>,
    none: Notify,
}

impl Live {
    fn begin(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    fn at_end(&self) -> impl Drop + '_ {
        Ended(self)
    }

    async fn none_left(&self) {
        while self.connections.get() > 0 {
            self.none.notified().await;
        }
    }
}

struct Ended<'a>(&'a Live);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        if self.0.connections.get() == 0 {
            self.0.none.notify_one();
        }
    }
}
