//! What is remembered of a request until it is over, and then goes into the access log and the metrics.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method};

use super::body::Upload;
use super::exchanges::Place;
use super::request_id::RequestId;
use super::serving::Serving;
use super::worker::Worker;
use crate::authority::error::Refused;
use crate::clock;
use crate::core;
use crate::core::decision::Trace;
use crate::core::head;
use crate::core::rejection::Rejection;
use crate::core::snapshot::{Mode, Snapshot, UpstreamId};
use crate::core::time::UnixSeconds;
use crate::net::head::Head;
use crate::net::tunnel::Traffic;
use crate::telemetry::access_log::{Entry, Upstream, loggable_path};
use crate::telemetry::metrics::{Finished, RouteRef, UpstreamRef, Verdict};

/// The status under which a request is counted whose client went away before there was an answer; nginx calls it so.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One request. It goes into log and metrics when it is dropped, so that none is missed, however it ends. Boxed: it is large,
/// and handed on from the request to its answer.
pub(super) struct Record {
    worker: Rc<Worker>,
    serving: Rc<Serving>,
    arrived: Instant,
    arrived_ms: u64,
    peer: IpAddr,
    method: Method,
    /// For the access log, if there is one.
    seen: Option<Seen>,
    pub(super) request_id: RequestId,
    pub(super) status: u16,
    pub(super) trace: Trace,
    pub(super) rejection: Option<Rejection>,
    /// Why the authority has refused what it was asked for.
    pub(super) refused: Option<Box<Refused>>,
    /// Whether a decision was made at all: not so for answers of the gateway's own.
    pub(super) decided: bool,
    pub(super) upstream: Option<(UpstreamId, Option<Duration>)>,
    pub(super) upload: Option<Rc<Upload>>,
    pub(super) bytes_out: u64,
    /// What passes once the protocol is switched.
    pub(super) traffic: Option<Rc<Traffic>>,
}

/// What only the access log tells of a request.
struct Seen {
    target: Box<str>,
    host: Option<Box<[u8]>>,
}

impl Record {
    /// A request whose head has just arrived.
    pub(super) fn new(worker: &Rc<Worker>, peer: IpAddr, head: &Head) -> Box<Self> {
        let request_id = worker.ids().of(head.fields());
        let seen = worker.log().is_on().then(|| Seen {
            // Not shared: the whole head would be kept for it.
            target: head.target().into(),
            host: head.fields().all(&http::header::HOST).next().map(Into::into),
        });
        Self::begin(worker, peer, head.method.clone(), seen, request_id)
    }

    /// What came in place of a request and could not be read as one.
    pub(super) fn unreadable(worker: &Rc<Worker>, peer: IpAddr) -> Box<Self> {
        Self::begin(worker, peer, unknown_method(), None, worker.ids().next())
    }

    fn begin(
        worker: &Rc<Worker>,
        peer: IpAddr,
        method: Method,
        seen: Option<Seen>,
        request_id: RequestId,
    ) -> Box<Self> {
        Box::new(Self {
            worker: Rc::clone(worker),
            serving: worker.serving(),
            arrived: clock::monotonic(),
            arrived_ms: clock::now_ms(),
            peer,
            method,
            seen,
            request_id,
            status: CLIENT_CLOSED_REQUEST,
            trace: Trace::default(),
            rejection: None,
            refused: None,
            decided: true,
            upstream: None,
            upload: None,
            bytes_out: 0,
            traffic: None,
        })
    }

    /// When the request's head had arrived, in seconds.
    pub(super) fn arrived_at(&self) -> UnixSeconds {
        UnixSeconds(i64::try_from(self.arrived_ms / 1000).unwrap_or(i64::MAX))
    }

    /// How long until the caller's token is refused for its age; `None` if no token mattered.
    pub(super) fn expires_in(&self) -> Option<Duration> {
        let ends = core::ends(self.snapshot(), &self.trace)?;
        let ends_ms = u64::try_from(ends.0).unwrap_or(0).saturating_mul(1000);
        Some(Duration::from_millis(ends_ms.saturating_sub(clock::now_ms())))
    }

    /// Has the exchange watched, so that it ends with the caller's client; `None` if no token mattered, or nobody says here
    /// which clients there are.
    pub(super) fn watch(&self) -> Option<Place> {
        let can_fall = self.trace.authenticated && self.serving.generation().follows_registries();
        can_fall.then(|| self.worker.exchanges().enter(self.serving(), &self.trace))
    }

    /// Goes on under the newest generation, with what the request has waited for. Nothing may be decided before.
    pub(super) fn catch_up(&mut self) {
        self.serving = self.worker.serving();
    }

    /// The generation under which the request is served.
    pub(super) fn serving(&self) -> Rc<Serving> {
        Rc::clone(&self.serving)
    }

    pub(super) fn snapshot(&self) -> &Snapshot {
        self.serving.snapshot()
    }

    pub(super) fn peer(&self) -> IpAddr {
        self.peer
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    fn count(&self, duration: Duration) {
        let snapshot = self.serving.snapshot();
        let label = || self.route_label().cloned().unwrap_or_default();
        let verdict = match (&self.rejection, &self.trace.shadowed) {
            (Some(rejection), _) => Verdict::Denied(rejection.reason),
            (None, Some(rejection)) => Verdict::Shadowed(rejection.reason),
            (None, None) => Verdict::Allowed { shadow: self.trace.route_mode == Mode::Shadow },
        };
        let upstream = self.upstream.and_then(|(id, duration)| Some((id, self.upstream_name(id)?, duration?)));
        self.worker.metrics().finish(&Finished {
            generation: snapshot.number,
            route: self.trace.route.map(|id| RouteRef { index: id.0, label: &label }),
            method: &self.method,
            status: self.status,
            verdict: self.decided.then_some(verdict),
            duration,
            upstream: upstream.map(|(id, name, duration)| (UpstreamRef { index: id.0, name }, duration)),
        });
        if let Some(check) = self.trace.signature {
            debug_assert!(self.trace.principal.as_ref().is_none_or(|principal| principal.snapshot == snapshot.number));
            self.worker.metrics().token_cache(check);
        }
    }

    fn log(&self, duration: Duration) {
        let snapshot = self.serving.snapshot();
        let (target, host) = self.seen.as_ref().map_or(("", None), |seen| (&*seen.target, seen.host.as_deref()));
        let principal = self.trace.principal.as_deref();
        let refused = self.rejection.as_ref().or(self.trace.shadowed.as_ref());
        let by_authority = self.refused.as_deref();
        let host = head::host_name(target, host);
        let tunnelled = self.traffic.as_ref().map_or((0, 0), |traffic| traffic.bytes());
        self.worker.log().record(&Entry {
            time_ms: self.arrived_ms,
            request_id: self.request_id.as_str(),
            peer: self.peer,
            method: self.method.as_str(),
            host: host.as_deref().unwrap_or_default(),
            path: loggable_path(target),
            status: self.status,
            reason: refused.map(|rejection| rejection.reason.label()),
            detail: refused
                .map(|rejection| &*rejection.detail)
                .or_else(|| by_authority.map(|refused| &*refused.detail)),
            shadowed: self.rejection.is_none() && self.trace.shadowed.is_some(),
            route: self.route_label().map(|label| &**label),
            issuer: principal.and_then(|principal| snapshot.issuers.get(principal.issuer)).map(|issuer| &*issuer.name),
            client_id: principal
                .and_then(|principal| principal.client_id.as_deref())
                .or_else(|| by_authority.and_then(|refused| refused.client_id.as_deref())),
            tenant: self.trace.tenant().map(HeaderValue::as_bytes),
            duration,
            upstream: self
                .upstream
                .and_then(|(id, duration)| Some(Upstream { name: self.upstream_name(id)?, duration })),
            bytes_in: self.upload.as_ref().map_or(0, |upload| upload.bytes()) + tunnelled.0,
            bytes_out: self.bytes_out + tunnelled.1,
        });
    }

    fn route_label(&self) -> Option<&Arc<str>> {
        self.serving.snapshot().routes.label(self.trace.route?)
    }

    fn upstream_name(&self, id: UpstreamId) -> Option<&str> {
        self.serving.snapshot().upstreams.get(usize::from(id.0)).map(|upstream| &*upstream.name)
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let duration = clock::monotonic().saturating_duration_since(self.arrived);
        self.count(duration);
        if self.worker.log().is_on() {
            self.log(duration);
        }
    }
}

/// Stands for the method of a request that could not be read: counted as `OTHER`.
fn unknown_method() -> Method {
    Method::from_bytes(b"-").unwrap_or_default()
}
