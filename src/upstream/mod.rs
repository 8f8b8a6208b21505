//! The upstream side of the data plane: takes a permit and a request, brings back the backend's response.
//!
//! Every worker owns one [`Upstreams`]: its connections, its pools, its counters of outstanding requests. Nothing of it is
//! shared, so nothing is locked. What the workers know in common, [`Health`], is written when a backend fails or recovers
//! and otherwise only read.
//!
//! The way of a request: [`headers`] has made its fields fit for a backend; `plan` frames it; `client` chooses an endpoint
//! (`balance`), takes a connection from its `pool` or makes one (`endpoint`) and has it answer (`exchange`, over `http1` or `http2`);
//! the response's body (`response_body`) gives the connection back when it has been read, unless the backend has agreed to
//! make something else of it (`upgrade`).

mod attempt;
mod balance;
mod check;
mod client;
mod dial;
mod echo;
mod endpoint;
mod error;
mod exchange;
mod framing;
pub mod headers;
mod health;
pub mod http1;
mod http2;
mod informational;
mod link;
mod outgoing;
mod plan;
mod pool;
mod replay;
mod request_body;
mod resolve;
mod response_body;
mod source;
mod stopping;
#[cfg(test)]
mod tests;
mod upgrade;

use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use self::client::Client;
use self::plan::{Plan, Ready};
use crate::config::{Upstream, UpstreamKind};
use crate::core::decision::Permit;
use crate::core::snapshot::UpstreamId;

pub use self::check::check_forever;
pub use self::error::{BoxError, UpstreamError, UpstreamErrorKind};
pub use self::health::{EndpointStatus, Failure, Health, UpstreamHealth};
pub use self::outgoing::{Outgoing, OutgoingFields, OutgoingLines, Wishes};
pub use self::response_body::{ResponseBody, ResponseBodyError};
pub use self::upgrade::Switched;

/// One worker's upstreams.
#[derive(Debug)]
pub struct Upstreams {
    backends: Box<[Backend]>,
    idle: Duration,
}

#[derive(Debug)]
enum Backend {
    Echo,
    Http(Rc<Client>),
}

/// A request that is about to be answered.
enum Begun<B> {
    /// And when that began.
    Echo(Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, UpstreamError>>>>, Instant),
    Http(Rc<Client>, Plan, Ready<B>),
}

impl Upstreams {
    /// The upstreams of `config`, with `health` made for the same. `idle` is the longest silence of a backend within a
    /// body. Nothing is connected yet.
    #[must_use]
    pub fn new(config: &[Upstream], idle: Duration, health: &Health) -> Self {
        let none = Self { backends: Box::default(), idle };
        Self::succeeding(config, idle, health, &[], &none)
    }

    /// The same after a reload: upstreams that are still the same keep their connections. `old` was made for `old_config`,
    /// and `health` succeeds its health.
    #[must_use]
    pub fn succeeding(
        config: &[Upstream],
        idle: Duration,
        health: &Health,
        old_config: &[Upstream],
        old: &Self,
    ) -> Self {
        let kept = |upstream: &Upstream| {
            let mut pairs = old_config.iter().zip(&old.backends).filter(|_| old.idle == idle);
            pairs.find_map(|(other, backend)| match backend {
                Backend::Http(client) if other == upstream => Some(Rc::clone(client)),
                Backend::Http(_) | Backend::Echo => None,
            })
        };
        let backend = |(upstream, health): (&Upstream, &UpstreamHealth)| match &upstream.kind {
            UpstreamKind::Echo => Backend::Echo,
            UpstreamKind::Http(http) => {
                Backend::Http(kept(upstream).unwrap_or_else(|| Rc::new(Client::new(http, health, idle))))
            }
        };
        Self { backends: config.iter().zip(health.upstreams()).map(backend).collect(), idle }
    }

    /// Whether an upstream speaks HTTP/1.1 and nothing else, so that its requests need no map of fields.
    #[must_use]
    pub fn takes_lines(&self, upstream: UpstreamId) -> bool {
        match self.backends.get(usize::from(upstream.0)) {
            Some(Backend::Http(client)) => client.speaks_http1_only(),
            Some(Backend::Echo) | None => false,
        }
    }

    /// Forwards one request and waits for the head of its response, from which hop-by-hop fields are gone and which has
    /// one framing. The request's fields have to be fit for a backend already ([`headers::HeaderPolicy::map_to_upstream`]);
    /// its framing is settled here, and so is `Host` where `host: upstream` is configured. Where an upgrade is wished for,
    /// a 101 has a body with the [`Switched`] connection in it. The fields of a response of HTTP/1.1 are with its body, in the
    /// bytes that they came in ([`ResponseBody::take_lines`]).
    ///
    /// The permit is taken by value: one permit, one request. Dropping the future closes the connection to the backend.
    /// Has to run within a `tokio` `LocalRuntime` or `LocalSet`.
    ///
    /// # Errors
    /// [`UpstreamError`], once everything that may be tried again was tried again.
    pub fn forward<B>(
        &self,
        permit: Permit,
        request: Outgoing<B>,
        wishes: Wishes,
    ) -> impl Future<Output = Result<Response<ResponseBody>, UpstreamError>> + use<B>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        // Made ready before there is a future, which would have to have room for all that it is made of.
        let mut begun = match self.backends.get(usize::from(permit.upstream().0)) {
            Some(Backend::Http(client)) => client
                .plan(request, wishes, permit.timeout())
                .map(|(plan, request)| Begun::Http(Rc::clone(client), plan, request)),
            Some(Backend::Echo) => {
                request.into_http().map(|request| Begun::Echo(Box::pin(echo::answer(request)), Instant::now()))
            }
            None => Err(UpstreamError::new(UpstreamErrorKind::Connect, "the upstream is gone")),
        };
        async move {
            match begun {
                // Where they are: to move them would take room for them twice.
                Ok(Begun::Http(ref client, ref mut plan, request)) => client.forward(plan, request).await,
                Err(error) => Err(error),
                Ok(Begun::Echo(answer, started)) => {
                    let mut response = answer.await?;
                    response.body_mut().waited = started.elapsed();
                    Ok(response)
                }
            }
        }
    }
}
