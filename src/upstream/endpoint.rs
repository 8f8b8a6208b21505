//! A worker's side of one endpoint: its connections, and how many requests it has outstanding.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::{Instant, timeout_at};

use super::attempt::{Attempt, Made};
use super::dial::{Dialer, Offer, Version};
use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
use super::health::{Addresses, EndpointHealth};
use super::http1::Connection;
use super::http2;
use super::link::Link;
use super::pool::Pool;

/// Most addresses of a name that are tried for one connection. The time to connect is shared out among them.
const ADDRESSES_TRIED_MAX: usize = 3;

/// One endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) health: Arc<EndpointHealth>,
    /// `Host` for it.
    pub(super) host: HeaderValue,
    pub(super) pool: Rc<Pool>,
    pub(super) streams: Rc<http2::Pool>,
    /// The connection that is being made for all who want one.
    pub(super) attempt: RefCell<Option<Rc<Attempt>>>,
    /// What the backend speaks, if it has said so.
    version: Cell<Option<Version>>,
    dialer: Dialer,
    pub(super) connect_timeout: Duration,
    outstanding: Cell<usize>,
    next_address: Cell<usize>,
}

/// A request's place at an endpoint, from the choice of the endpoint to the end of the response.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) endpoint: Rc<Endpoint>,
    /// Whether this request finds out if the endpoint works again.
    pub(super) probe: bool,
}

impl Endpoint {
    pub(super) fn new(health: Arc<EndpointHealth>, dialer: Dialer, connect_timeout: Duration) -> Self {
        // An authority that the configuration accepted is a field value.
        let host = HeaderValue::from_str(health.authority()).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            health,
            host,
            pool: Rc::default(),
            streams: Rc::default(),
            attempt: RefCell::default(),
            version: Cell::new(dialer.version()),
            dialer,
            connect_timeout,
            outstanding: Cell::new(0),
            next_address: Cell::new(0),
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.get()
    }

    /// Counts a request as outstanding until the lease is dropped.
    pub(super) fn lease(self: &Rc<Self>, probe: bool) -> Lease {
        self.outstanding.set(self.outstanding.get() + 1);
        Lease { endpoint: Rc::clone(self), probe }
    }

    /// An idle connection, or a place on one that others use, if there is one.
    pub(super) fn idle_link(&self, now: Instant) -> Option<Link> {
        match self.version.get() {
            Some(Version::Http1) => {
                let addresses = self.health.addresses();
                self.pool.take(now, |address| addresses.list.contains(address)).map(Link::Http1)
            }
            Some(Version::Http2) => self.place().map(Link::Http2),
            None => None,
        }
    }

    /// A place on a connection that others use, if there is one.
    fn place(&self) -> Option<http2::Place> {
        let addresses = self.health.addresses();
        self.streams.place(|address| addresses.list.contains(address))
    }

    /// Where to connect to: the addresses to try, in turn, so that new connections spread over all of them.
    fn candidates(&self, addresses: &Addresses) -> impl ExactSizeIterator<Item = SocketAddr> + use<> {
        let (count, first) = (addresses.list.len(), self.next_address.get());
        self.next_address.set(first.wrapping_add(1));
        let list: Vec<SocketAddr> = (0..count.min(ADDRESSES_TRIED_MAX))
            .filter_map(|i| addresses.list.get(first.wrapping_add(i) % count))
            .copied()
            .collect();
        list.into_iter()
    }

    /// A new connection, or a place on one that can be shared, within `connect_timeout` in all.
    ///
    /// All who want to share one at the same time wait for the same, which is made whether or not the first of them stays.
    pub(super) async fn connect(self: &Rc<Self>) -> Result<Link, UpstreamError> {
        let deadline = Instant::now() + self.connect_timeout;
        loop {
            if self.version.get() == Some(Version::Http1) {
                match self.make(deadline, Offer::Http2OrHttp1).await? {
                    Made::Http1(connection) => return Ok(Link::Http1(connection)),
                    // It has learnt HTTP/2 since.
                    Made::Http2(shared) => self.streams.add(shared),
                }
            }
            if let Some(place) = self.place() {
                return Ok(Link::Http2(place));
            }
            if let Some(connection) = self.join(deadline).await? {
                return Ok(Link::Http1(connection));
            }
        }
    }

    /// A connection of its own, on which HTTP/1.1 is spoken: one that is to become something else.
    pub(super) async fn connect_http1(&self) -> Result<Box<Connection>, UpstreamError> {
        if self.dialer.version() == Some(Version::Http2) {
            return Err(http2_only());
        }
        match self.make(Instant::now() + self.connect_timeout, Offer::Http1).await? {
            Made::Http1(connection) => Ok(connection),
            Made::Http2(_) => Err(http2_only()),
        }
    }

    /// Makes a connection. A failure has the name looked up again.
    pub(super) async fn make(&self, deadline: Instant, offer: Offer) -> Result<Made, UpstreamError> {
        let made = self.make_at_any_address(deadline, offer).await;
        match (&made, offer) {
            (Ok(Made::Http1(_)), Offer::Http2OrHttp1) => self.version.set(Some(Version::Http1)),
            (Ok(Made::Http2(_)), _) => self.version.set(Some(Version::Http2)),
            (Ok(Made::Http1(_)), Offer::Http1) => {}
            (Err(_), _) => self.health.resolve.notify_one(),
        }
        made
    }

    async fn make_at_any_address(&self, deadline: Instant, offer: Offer) -> Result<Made, UpstreamError> {
        let mut candidates = self.candidates(&*self.resolved(deadline).await?);
        let mut last = UpstreamError::new(UpstreamErrorKind::Connect, "the backend has no address");
        while let Some(address) = candidates.next() {
            let tries = u32::try_from(candidates.len()).unwrap_or(u32::MAX).saturating_add(1);
            let share = deadline.saturating_duration_since(Instant::now()) / tries;
            match within(Instant::now() + share, self.make_at(address, offer)).await {
                Ok(made) => return Ok(made),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn make_at(&self, address: SocketAddr, offer: Offer) -> Result<Made, BoxError> {
        let (stream, version) = self.dialer.dial(address, offer).await?;
        Ok(match version {
            Version::Http1 => Made::Http1(Box::new(Connection::new(stream, address))),
            Version::Http2 => Made::Http2(http2::Shared::open(stream, address, self.dialer.uri_scheme()).await?),
        })
    }

    /// The endpoint's addresses. Only right after the start a name may not have been looked up yet.
    async fn resolved(&self, deadline: Instant) -> Result<Arc<Addresses>, UpstreamError> {
        loop {
            let resolved = self.health.resolved.notified();
            let addresses = Arc::clone(&self.health.addresses());
            if !addresses.list.is_empty() {
                return Ok(addresses);
            }
            self.health.resolve.notify_one();
            timeout_at(deadline, resolved)
                .await
                .map_err(|_| UpstreamError::new(UpstreamErrorKind::Connect, "the backend's name has no address"))?;
        }
    }
}

async fn within<T>(
    deadline: Instant,
    connecting: impl Future<Output = Result<T, BoxError>>,
) -> Result<T, UpstreamError> {
    const FAILED: &str = "could not connect to the backend";
    match timeout_at(deadline, connecting).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(UpstreamError::because(UpstreamErrorKind::Connect, FAILED, error)),
        Err(_) => Err(too_late()),
    }
}

fn http2_only() -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Connect, "the backend speaks HTTP/2 only")
}

pub(super) fn too_late() -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Connect, "connecting to the backend took too long")
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.outstanding.set(self.endpoint.outstanding.get().saturating_sub(1));
    }
}
