//! Forwarding to one upstream: the choice of an endpoint, the connection, the exchange, and what may be tried again.
//!
//! A request is sent again in two cases only. Nothing of it was sent: then anywhere, whatever it is. Or it has no body, its
//! method is idempotent (RFC 9110 section 9.2.2), and a connection that had served before closed before the first byte of
//! an answer: then once more, on a fresh connection. A POST of which anything was sent is never sent again.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body::Body;
use tokio::time::Instant;

use super::balance::{Candidate, choose};
use super::dial::Dialer;
use super::endpoint::{Endpoint, Lease};
use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
use super::exchange::{Answered, Failure, TimeLimits, exchange};
use super::framing;
use super::headers::{clean_response, clean_response_lines};
use super::health::{self, EndpointHealth, Standing, UpstreamHealth};
use super::http1;
use super::link::{Incoming, Link};
use super::outgoing::{Outgoing, Wishes};
use super::plan::{Plan, Ready};
use super::replay::ReplayMemory;
use super::response_body::{Held, ResponseBody};
use crate::config::{self, HostHeader, HttpUpstream, Scheme};

/// Most endpoints that are tried for one request.
const ENDPOINTS_TRIED_MAX: usize = 3;

/// One worker's client of one upstream.
#[derive(Debug)]
pub(super) struct Client {
    endpoints: Box<[Rc<Endpoint>]>,
    /// Where the next choice starts to look, so that equals take turns.
    next: Cell<usize>,
    host: HostHeader,
    http1_only: bool,
    limits: TimeLimits,
    memory: ReplayMemory,
}

/// What became of a request at the first endpoint, if it was not answered there on an idle connection of HTTP/1.1.
enum First<B> {
    /// It was not sent yet. The idle connection that there is for it, if there is one, is of another kind.
    Unsent(Option<Link>, Ready<B>),
    /// It was sent on an idle connection of HTTP/1.1, in vain.
    Failed(Failure<B>),
}

/// Why an endpoint did not answer.
enum Refused<B> {
    /// Nothing was sent: another one may.
    Elsewhere(Ready<B>, UpstreamError),
    /// That was it.
    Failed(UpstreamError),
}

impl Client {
    pub(super) fn new(config: &HttpUpstream, health: &UpstreamHealth, idle: Duration) -> Self {
        let endpoint = |(endpoint, health): (&config::Endpoint, &Arc<EndpointHealth>)| {
            let dialer = Dialer::new(endpoint, config.tls.as_ref());
            Rc::new(Endpoint::new(Arc::clone(health), dialer, config.connect_timeout))
        };
        Self {
            endpoints: config.endpoints.iter().zip(health.endpoints()).map(endpoint).collect(),
            next: Cell::new(0),
            host: config.host,
            http1_only: config.endpoints.iter().all(|endpoint| endpoint.scheme == Scheme::Http),
            limits: TimeLimits { head: config.timeout, idle },
            memory: ReplayMemory::default(),
        }
    }

    /// Whether all endpoints speak HTTP/1.1 and nothing else.
    pub(super) fn speaks_http1_only(&self) -> bool {
        self.http1_only
    }

    /// Makes a request ready to be forwarded. `timeout` goes before the upstream's own.
    pub(super) fn plan<B>(
        &self,
        request: Outgoing<B>,
        wishes: Wishes,
        timeout: Option<Duration>,
    ) -> Result<(Plan, Ready<B>), UpstreamError>
    where
        B: Body<Data = Bytes>,
    {
        let limits = TimeLimits { head: timeout.unwrap_or(self.limits.head), ..self.limits };
        Plan::new(request, wishes, limits)
    }

    /// Has one endpoint after the other answer, until one does or none may be asked any more.
    #[expect(clippy::manual_async_fn, reason = "that would hold what it is given twice")]
    pub(super) fn forward<B>(
        &self,
        plan: &mut Plan,
        mut request: Ready<B>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, UpstreamError>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        async move {
            let Some((index, lease)) = self.choose(&[]) else {
                return Err(UpstreamError::new(UpstreamErrorKind::Connect, "the upstream has no endpoint"));
            };
            let first = match self.idle_link(&lease, plan, &mut request) {
                // What most requests come to.
                Some(Link::Http1(connection)) if plan.upgrade.is_none() => {
                    match http1::exchange(connection, request, plan).await {
                        Ok(answered) => return lease.accept_http1(plan, answered),
                        Err(failure) => First::Failed(failure),
                    }
                }
                link => First::Unsent(link, request),
            };
            // On the heap, like all that few requests need: it is several times as large as what every request does.
            Box::pin(self.forward_on(index, lease, plan, first)).await
        }
    }

    /// The same, once it is more than a request on an idle connection of HTTP/1.1.
    async fn forward_on<B>(
        &self,
        index: usize,
        lease: Lease,
        plan: &mut Plan,
        first: First<B>,
    ) -> Result<Response<ResponseBody>, UpstreamError>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let mut asked = match first {
            First::Unsent(link, request) => self.ask(lease, link, plan, request).await,
            First::Failed(failure) => self.ask_again(lease, plan, failure).await,
        };
        let mut tried = vec![index];
        loop {
            let (mut request, error) = match asked {
                Ok(response) => return Ok(response),
                Err(Refused::Failed(error)) => return Err(error),
                Err(Refused::Elsewhere(unsent, error)) => (unsent, error),
            };
            // What was lost on this endpoint is not the next one's fault.
            plan.connected = Instant::now();
            let next = if tried.len() < ENDPOINTS_TRIED_MAX { self.choose(&tried) } else { None };
            let Some((index, lease)) = next else { return Err(error) };
            tried.push(index);
            let link = self.idle_link(&lease, plan, &mut request);
            asked = self.ask(lease, link, plan, request).await;
        }
    }

    /// The best endpoint that was not tried yet.
    fn choose(&self, tried: &[usize]) -> Option<(usize, Lease)> {
        let first = self.next.get();
        self.next.set(first.wrapping_add(1));
        let count = self.endpoints.len();
        // The second round is for when another worker claims the probe that this one has chosen.
        for probes in [true, false] {
            let candidates = (0..count).map(|i| first.wrapping_add(i) % count).filter(|index| !tried.contains(index));
            let choice = choose(candidates.filter_map(|index| self.candidate(index, probes)))?;
            let endpoint = self.endpoints.get(choice.index)?;
            let probe = choice.standing == Standing::ProbeDue;
            if !probe || endpoint.health.claim_probe() {
                return Some((choice.index, endpoint.lease(probe)));
            }
        }
        None
    }

    fn candidate(&self, index: usize, probes: bool) -> Option<Candidate> {
        let endpoint = self.endpoints.get(index)?;
        let standing = match endpoint.health.standing() {
            Standing::ProbeDue if !probes => Standing::Unhealthy(0),
            standing => standing,
        };
        Some(Candidate { index, standing, outstanding: endpoint.outstanding() })
    }

    /// An idle connection to an endpoint, if there is one, for a request that is about to be sent there.
    fn idle_link<B>(&self, lease: &Lease, plan: &Plan, request: &mut Ready<B>) -> Option<Link> {
        // A client of HTTP/1.0 may have sent none, and there has to be one.
        request.set_host(&lease.endpoint.host, self.host == HostHeader::Upstream);
        if plan.fresh_only { None } else { lease.endpoint.idle_link(plan.connected) }
    }

    /// Has one endpoint answer: over an idle connection if there is one, or else over a new one.
    async fn ask<B>(
        &self,
        lease: Lease,
        link: Option<Link>,
        plan: &mut Plan,
        request: Ready<B>,
    ) -> Result<Response<ResponseBody>, Refused<B>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(mut link) = link else { return self.ask_anew(lease, plan, request).await };
        if plan.upgrade.is_some() {
            link = Box::pin(lease.link_for(plan, link)).await.map_err(Refused::Failed)?;
            plan.connected = Instant::now();
        }
        match exchange(link, request, plan, &self.memory).await {
            Ok(answered) => lease.accept(plan, answered).map_err(Refused::Failed),
            Err(failure) => self.ask_again(lease, plan, failure).await,
        }
    }

    /// The same after an idle connection was of no use.
    async fn ask_again<B>(
        &self,
        lease: Lease,
        plan: &mut Plan,
        failure: Failure<B>,
    ) -> Result<Response<ResponseBody>, Refused<B>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        match failure {
            Failure::Unsent(request, _) | Failure::Unanswered(Some(request), _) => {
                self.ask_anew(lease, plan, request).await
            }
            // The backend closed an idle connection, as it may: that says nothing about its health.
            Failure::Unanswered(None, error) => Err(Refused::Failed(error)),
            Failure::Failed(error) => Err(Refused::Failed(lease.failed(plan, error))),
        }
    }

    /// The same over a new connection.
    async fn ask_anew<B>(
        &self,
        lease: Lease,
        plan: &mut Plan,
        request: Ready<B>,
    ) -> Result<Response<ResponseBody>, Refused<B>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let link = match Box::pin(lease.endpoint.connect()).await {
            Ok(link) if plan.upgrade.is_some() => {
                Box::pin(lease.link_for(plan, link)).await.map_err(Refused::Failed)?
            }
            Ok(link) => link,
            Err(error) => return Err(lease.unsent(request, error)),
        };
        plan.connected = Instant::now();
        match exchange(link, request, plan, &self.memory).await {
            Ok(answered) => lease.accept(plan, answered).map_err(Refused::Failed),
            Err(Failure::Unsent(request, error)) => Err(lease.unsent(request, error)),
            // Others have used the connection as well.
            Err(Failure::Unanswered(Some(again), error)) => Err(Refused::Elsewhere(again, error)),
            Err(Failure::Unanswered(None, error) | Failure::Failed(error)) => {
                Err(Refused::Failed(lease.failed(plan, error)))
            }
        }
    }
}

impl Lease {
    /// Passes a response on, if it can be.
    fn accept(self, plan: &Plan, answered: Answered) -> Result<Response<ResponseBody>, UpstreamError> {
        match answered {
            Answered::Http1(answered) => self.accept_http1(plan, answered),
            Answered::Http2(response) => self.accept_http2(plan, response),
        }
    }

    fn accept_http1(self, plan: &Plan, answered: http1::Answered) -> Result<Response<ResponseBody>, UpstreamError> {
        let http1::Answered { status, version, framed, mut lines, incoming } = answered;
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = version;
        if status == StatusCode::SWITCHING_PROTOCOLS {
            lines.append_to(response.headers_mut());
            return self.switch(plan, response.map(|()| Incoming::Http1(incoming)));
        }
        self.endpoint.health.answered();
        clean_response_lines(&mut lines);
        if framed.says_too_much {
            lines.retain(|name, _| name != b"content-length");
        }
        let held = Held { framing: framed.framing, lease: self };
        let incoming = Incoming::Http1(incoming);
        Ok(response.map(|()| ResponseBody::streamed(incoming, Some(lines), held, plan)))
    }

    fn accept_http2(
        self,
        plan: &Plan,
        mut response: Response<Incoming>,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return self.switch(plan, response);
        }
        let framed = framing::of_response(response.status(), response.version(), response.headers(), plan.head);
        let framed = match framed {
            Ok(framed) => framed,
            Err(detail) => return Err(self.failed(plan, UpstreamError::new(UpstreamErrorKind::Protocol, detail))),
        };
        self.endpoint.health.answered();
        clean_response(response.headers_mut());
        if framed.says_too_much {
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let held = Held { framing: framed.framing, lease: self };
        Ok(response.map(|body| ResponseBody::streamed(body, None, held, plan)))
    }

    /// Nothing of the request was sent, or nothing was looked at. A busy backend is not a broken one.
    fn unsent<B>(self, request: Ready<B>, error: UpstreamError) -> Refused<B> {
        if error.kind() != UpstreamErrorKind::Busy {
            self.endpoint.health.failed(health::Failure::Connect, self.probe);
        }
        Refused::Elsewhere(request, error)
    }

    /// The request failed for good. A slow backend is not a broken one, and a client's body is not its fault; nor can
    /// clients that ask for what a backend does not know take it from others.
    pub(super) fn failed(self, plan: &Plan, error: UpstreamError) -> UpstreamError {
        if error.kind() == UpstreamErrorKind::Protocol && plan.upgrade.is_none() {
            self.endpoint.health.failed(health::Failure::Protocol, self.probe);
        }
        error
    }
}
