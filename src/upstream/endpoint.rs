//! A worker's side of one endpoint: its connections, and how many requests it has outstanding.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use super::connection::Connection;
use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
use super::health::{Addresses, EndpointHealth};
use super::pool::Pool;

/// Most addresses of a name that are tried for one connection. The time to connect is shared out among them.
const ADDRESSES_TRIED_MAX: usize = 3;

/// One endpoint.
#[derive(Debug)]
pub(super) struct Endpoint<B> {
    pub(super) health: Arc<EndpointHealth>,
    /// `Host` for it.
    pub(super) host: HeaderValue,
    pub(super) pool: Rc<Pool<B>>,
    connect_timeout: Duration,
    outstanding: Cell<usize>,
    next_address: Cell<usize>,
}

/// A request's place at an endpoint, from the choice of the endpoint to the end of the response.
#[derive(Debug)]
pub(super) struct Lease<B> {
    pub(super) endpoint: Rc<Endpoint<B>>,
    /// Whether this request finds out if the endpoint works again.
    pub(super) probe: bool,
}

impl<B: 'static> Endpoint<B> {
    pub(super) fn new(health: Arc<EndpointHealth>, connect_timeout: Duration) -> Self {
        // An authority that the configuration accepted is a field value.
        let host = HeaderValue::from_str(health.authority()).unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            health,
            host,
            pool: Rc::default(),
            connect_timeout,
            outstanding: Cell::new(0),
            next_address: Cell::new(0),
        }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.get()
    }

    /// Counts a request as outstanding until the lease is dropped.
    pub(super) fn lease(self: &Rc<Self>, probe: bool) -> Lease<B> {
        self.outstanding.set(self.outstanding.get() + 1);
        Lease { endpoint: Rc::clone(self), probe }
    }

    /// An idle connection, if there is one.
    pub(super) fn idle_connection(&self) -> Option<Connection<B>> {
        let addresses = self.health.addresses();
        self.pool.take(|address| addresses.list.contains(address))
    }

    /// Where to connect to: the addresses to try, in turn, so that new connections spread over all of them.
    fn candidates(&self, addresses: &Addresses) -> impl ExactSizeIterator<Item = SocketAddr> + use<B> {
        let (count, first) = (addresses.list.len(), self.next_address.get());
        self.next_address.set(first.wrapping_add(1));
        let list: Vec<SocketAddr> = (0..count.min(ADDRESSES_TRIED_MAX))
            .filter_map(|i| addresses.list.get(first.wrapping_add(i) % count))
            .copied()
            .collect();
        list.into_iter()
    }
}

impl<B> Endpoint<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// A new connection, within `connect_timeout` in all. A failure has the name looked up again.
    pub(super) async fn connect(&self) -> Result<Connection<B>, UpstreamError> {
        let deadline = Instant::now() + self.connect_timeout;
        let connected = self.connect_until(deadline).await;
        if connected.is_err() {
            self.health.resolve.notify_one();
        }
        connected
    }

    async fn connect_until(&self, deadline: Instant) -> Result<Connection<B>, UpstreamError> {
        let mut candidates = self.candidates(&*self.resolved(deadline).await?);
        let mut last = UpstreamError::new(UpstreamErrorKind::Connect, "the backend has no address");
        while let Some(address) = candidates.next() {
            let tries = u32::try_from(candidates.len()).unwrap_or(u32::MAX).saturating_add(1);
            let share = deadline.saturating_duration_since(Instant::now()) / tries;
            match within(Instant::now() + share, Connection::open(address)).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
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
        Err(_) => Err(UpstreamError::new(UpstreamErrorKind::Connect, "connecting to the backend took too long")),
    }
}

impl<B> Drop for Lease<B> {
    fn drop(&mut self) {
        self.endpoint.outstanding.set(self.endpoint.outstanding.get().saturating_sub(1));
    }
}
