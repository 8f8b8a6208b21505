//! A worker: one thread, one runtime, its own listening sockets, connections and memory. Workers share nothing that a
//! request would have to wait for.

use std::cell::Cell;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{Notify, watch};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use crate::net::drain::Drain;
use crate::net::handshake::{HandshakeError, Handshakes, Opened};
use crate::net::head::HeadError;
use crate::net::http1;
use crate::net::http2;
use crate::net::listen::Listener;
use crate::net::service::{Limits, Refusal, Service};
use crate::net::stream::{ReadAhead, Stream};

/// How long to wait when the process has no file descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Connections over the limit that are told so at a time; those beyond are closed without a word.
const REFUSED_MAX: usize = 256;

/// Why a request without TLS is refused where TLS is spoken.
const PLAIN_HTTP: HeadError = HeadError::Malformed("HTTP without TLS on a listener that speaks TLS");

/// How long a connection that is refused has to show which protocol it speaks.
const FIRST_WORD: Duration = Duration::from_millis(500);

/// Stands for the address of whoever comes over a Unix socket: nobody has it.
const NO_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

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

    /// What the listener of this number shows a client that comes now; `None` is no TLS.
    fn tls(&self, listener: usize) -> Option<Arc<ServerConfig>>;

    /// The service for a connection.
    fn connect(&self, accepted: &Accepted) -> Self::Service;

    /// Told how a handshake ended, unless the client did not begin one.
    fn handshake(&self, result: Result<(), &HandshakeError>);
}

/// A connection that was accepted.
#[derive(Debug, Clone, Copy)]
pub struct Accepted {
    /// The number of the listener that it came in by.
    pub listener: usize,
    /// The client's address; the unspecified one for a client of a Unix socket.
    pub peer: SocketAddr,
    /// Whether the listener speaks TLS, so that the client sees `https`.
    pub is_tls: bool,
    /// Whether the client came over a Unix socket.
    pub is_unix: bool,
}

/// Counts the connections of all workers, up to a limit.
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

/// Serves the connections of some listeners, which are numbered as they come, on the calling thread's runtime, until
/// draining is over.
///
/// # Errors
/// A listener cannot be handed to the runtime.
pub async fn serve<C: Connect + 'static>(
    listeners: Vec<impl Into<Listener>>,
    connect: C,
    count: Arc<ConnectionCount>,
    mut phase: watch::Receiver<Phase>,
) -> io::Result<()> {
    let (drain, live, handshakes) = (Drain::default(), Live::default(), Handshakes::default());
    let worker = Rc::new(Worker { connect, count, drain, live, handshakes });
    for (number, listener) in listeners.into_iter().enumerate() {
        let listener = Accepting::new(listener.into())?;
        spawn_local(Rc::clone(&worker).accept(number, listener));
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

/// A listening socket on the calling thread's runtime.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// What was accepted.
enum Incoming {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Accepting {
    fn new(listener: Listener) -> io::Result<Self> {
        match listener {
            Listener::Tcp(tcp) => TcpListener::from_std(tcp).map(Self::Tcp),
            Listener::Unix(unix) => UnixListener::from_std(unix).map(Self::Unix),
        }
    }

    async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await.map(|(tcp, peer)| Incoming::Tcp(tcp, peer)),
            Self::Unix(unix) => unix.accept().await.map(|(unix, _)| Incoming::Unix(unix)),
        }
    }
}

struct Worker<C> {
    connect: C,
    count: Arc<ConnectionCount>,
    drain: Drain,
    live: Live,
    handshakes: Handshakes,
}

impl<C: Connect + 'static> Worker<C> {
    /// Accepts until the worker drains. The listening socket is then closed, and the kernel gives what comes to nobody.
    async fn accept(self: Rc<Self>, number: usize, listener: Accepting) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.drain.started() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(Incoming::Tcp(tcp, peer)) => self.begin(number, tcp, peer),
                Ok(Incoming::Unix(unix)) => self.begin_unix(number, unix),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn begin(self: &Rc<Self>, listener: usize, tcp: TcpStream, peer: SocketAddr) {
        let _ = tcp.set_nodelay(true);
        let tls = self.connect.tls(listener);
        let (held, place) = self.hold(&Accepted { listener, peer, is_tls: tls.is_some(), is_unix: false });
        // A task of its own kind for each: most connections are of the first, and carry no room for the others.
        match (place, tls) {
            (Place::Served, None) => drop(spawn_local(held.http1(tcp))),
            (Place::Served, Some(config)) => drop(spawn_local(held.tls(tcp, config, peer))),
            (Place::Refused, None) => drop(spawn_local(held.refuse(tcp))),
            // To say so would take a handshake, which costs more than the requests that there is no room for.
            (Place::Refused, Some(_)) | (Place::Dropped, _) => {}
        }
    }

    fn begin_unix(self: &Rc<Self>, listener: usize, unix: UnixStream) {
        let accepted = Accepted { listener, peer: NO_ADDRESS, is_tls: false, is_unix: true };
        if let (held, Place::Served) = self.hold(&accepted) {
            spawn_local(held.http1(unix));
        }
    }

    fn hold(self: &Rc<Self>, accepted: &Accepted) -> (Held<C>, Place) {
        let (entered, place) = self.count.enter();
        self.live.begin();
        let stay = Stay { worker: Rc::clone(self), _entered: entered };
        (Held { service: self.connect.connect(accepted), stay }, place)
    }
}

/// What a connection holds for as long as it lasts. The service lies in the connection's task, where there is room for it.
struct Held<C: Connect> {
    service: C::Service,
    stay: Stay<C>,
}

/// A connection's place among those of its worker.
struct Stay<C: Connect> {
    worker: Rc<Worker<C>>,
    _entered: Entered,
}

impl<C: Connect> Drop for Stay<C> {
    fn drop(&mut self) {
        self.worker.live.end();
    }
}

impl<C: Connect + 'static> Held<C> {
    async fn tls(self, tcp: TcpStream, config: Arc<ServerConfig>, peer: SocketAddr) {
        // On the heap for as long as it lasts: it is several times as large as what follows.
        let Some(stream) = Box::pin(self.shake_hands(tcp, config, peer)).await else { return };
        if stream.has_agreed_on_http2() {
            self.http2(stream.with_read_ahead(BytesMut::new())).await;
        } else {
            self.http1(stream).await;
        }
    }

    /// The connection once it is encrypted. Whoever does not get that far is told why, if it can be.
    async fn shake_hands(&self, tcp: TcpStream, config: Arc<ServerConfig>, peer: SocketAddr) -> Option<Stream> {
        let Worker { connect, drain, handshakes, .. } = &*self.stay.worker;
        let limits = connect.limits();
        match handshakes.open(tcp, config, limits.request_head, drain).await {
            Ok(Opened::Tls(stream)) => {
                connect.handshake(Ok(()));
                return Some(stream);
            }
            Ok(Opened::PlainHttp(stream)) => {
                http1::refuse(stream, &self.service, limits, Refusal::Head(PLAIN_HTTP)).await;
            }
            Err(HandshakeError::Silent) => {}
            Err(error) => {
                tracing::debug!(%peer, %error, "TLS handshake failed");
                connect.handshake(Err(&error));
            }
        }
        None
    }

    /// Not an `async fn`, which would hold what it is given twice.
    fn http1(self, stream: impl Into<Stream>) -> impl Future<Output = ()> {
        let stream = stream.into();
        async move {
            let Worker { connect, drain, .. } = &*self.stay.worker;
            if let Some(stream) = http1::serve(stream, &self.service, connect.limits(), drain).await {
                self.http2(*stream).await;
            }
        }
    }

    async fn http2(self, stream: ReadAhead<Stream>) {
        let Self { service, stay } = self;
        let Worker { connect, drain, .. } = &*stay.worker;
        // On the heap, so that connections of HTTP/1.1 do not carry the room for it.
        Box::pin(http2::serve(stream, Rc::new(service), connect.limits(), drain)).await;
    }

    /// Tells a client that there are too many connections, in its own words.
    async fn refuse(self, tcp: TcpStream) {
        let limits = self.stay.worker.connect.limits();
        if begins_http2(&tcp).await {
            http2::refuse(Stream::from(tcp), &self.service, limits, Refusal::TooManyConnections).await;
        } else {
            http1::refuse(tcp.into(), &self.service, limits, Refusal::TooManyConnections).await;
        }
    }
}

/// Whether what a client has sent so far is the beginning of HTTP/2's preface (RFC 9113 section 3.4), whose first word is
/// no method. Whoever has sent nothing yet is not waited for for long.
async fn begins_http2(tcp: &TcpStream) -> bool {
    let mut first = [0; 4];
    matches!(timeout(FIRST_WORD, tcp.peek(&mut first)).await, Ok(Ok(4))) && first == *b"PRI "
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

    fn end(&self) {
        self.connections.set(self.connections.get() - 1);
        if self.connections.get() == 0 {
            self.none.notify_one();
        }
    }

    async fn none_left(&self) {
        while self.connections.get() > 0 {
            self.none.notified().await;
        }
    }
}
