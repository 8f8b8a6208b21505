//! The admin and the health listener's answers: health, readiness, metrics, status.
//!
//! [`answer`] is a function from a request to a response. Whoever listens calls it; nothing here does I/O.

mod guard;
mod readiness;
mod status;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

pub use self::readiness::{Phase, Readiness};
use crate::clock;
use crate::core::decision::Trace;
use crate::core::head::RequestHead;
use crate::core::rejection::{Reason, Rejection};
use crate::core::snapshot::Snapshot;
use crate::fronts::render::{self, Asked, Refusal, X_REQUEST_ID};
use crate::telemetry::metrics::{self, Metrics};

const ALLOW: &str = "GET, HEAD";

/// What the answers are made from.
pub struct AdminState {
    /// The snapshot in force.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Where it came from.
    pub loaded: ArcSwap<Loaded>,
    /// Why the last reload failed; `None` if it did not.
    pub last_reload_error: ArcSwapOption<String>,
    /// Whether requests may be sent here.
    pub readiness: Readiness,
    /// The series behind `/metrics`.
    pub metrics: Arc<Metrics>,
    /// The health of the upstreams, as `/status` shows it.
    pub upstream_health: Box<dyn Fn() -> Value + Send + Sync>,
    /// Number of workers.
    pub workers: usize,
    /// When the process started.
    pub started: Instant,
    /// The address that the admin listener is bound to. Off loopback, all but health needs a token.
    pub admin_address: Option<SocketAddr>,
}

/// Where the snapshot in force came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// SHA-256 of the configuration file, in hex.
    pub config_hash: String,
    /// When it was read, by the wall clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub at_ms: u64,
    /// When it, and the key files that it names, were read.
    pub at: Instant,
}

/// Which listener a request came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// `admin`: everything.
    Admin,
    /// `health`: what the kubelet and Prometheus ask for, whatever `Host` they send.
    Health,
}

/// A request to one of the two. It has no `Debug`: the header fields hold the token.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target.
    pub target: &'a str,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// Address of the peer.
    pub peer: IpAddr,
    /// The request id, as it goes into the answer.
    pub request_id: &'a str,
    /// Which listener it came in by.
    pub surface: Surface,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Healthz,
    Readyz,
    Metrics,
    Status,
}

impl Endpoint {
    fn find(surface: Surface, path: &str) -> Option<Self> {
        match (path, surface) {
            ("/healthz", _) => Some(Self::Healthz),
            ("/readyz", _) => Some(Self::Readyz),
            ("/metrics", _) => Some(Self::Metrics),
            ("/status", Surface::Admin) => Some(Self::Status),
            _ => None,
        }
    }

    /// Probes have no token, and learn nothing but whether we are well.
    fn is_health(self) -> bool {
        matches!(self, Self::Healthz | Self::Readyz)
    }
}

/// The answer to a request on the admin or the health listener.
#[must_use]
pub fn answer(state: &AdminState, call: &Call<'_>) -> Response<Bytes> {
    let snapshot = state.snapshot.load();
    let head = RequestHead { method: call.method, target: call.target, headers: call.headers };
    let target = match head.target() {
        Ok(target) => target,
        Err(rejection) => return refuse(&snapshot, call, &rejection),
    };
    let endpoint = Endpoint::find(call.surface, target.raw_path);
    if call.surface == Surface::Admin {
        if !guard::is_own_host(&target.host) {
            tracing::warn!(peer = %call.peer, "an admin request was refused: its Host is a foreign name");
            return finish(foreign_host(call), call);
        }
        let open = endpoint.is_some_and(Endpoint::is_health) || guard::is_loopback(state.admin_address);
        if !open && let Some(refused) = guard::without_leave(&snapshot, &head, call) {
            return refused;
        }
    }
    match endpoint {
        None => refuse(&snapshot, call, &Rejection::new(Reason::RouteUnknown, "no such endpoint")),
        Some(_) if !matches!(*call.method, Method::GET | Method::HEAD) => {
            refuse(&snapshot, call, &Rejection::new(Reason::MethodNotAllowed, "endpoints are only read"))
        }
        Some(endpoint) => finish(read(state, &snapshot, endpoint, call), call),
    }
}

fn read(state: &AdminState, snapshot: &Snapshot, endpoint: Endpoint, call: &Call<'_>) -> Response<Bytes> {
    match endpoint {
        Endpoint::Healthz => json_answer(StatusCode::OK, &json!({"status": "alive"}), call),
        Endpoint::Readyz => readyz(state.readiness.phase(), call),
        Endpoint::Metrics => metrics_text(state, snapshot, call),
        Endpoint::Status => json_answer(StatusCode::OK, &status::document(state, snapshot), call),
    }
}

fn readyz(phase: Phase, call: &Call<'_>) -> Response<Bytes> {
    match phase.cause() {
        None => json_answer(StatusCode::OK, &json!({"status": "ready"}), call),
        Some(cause) => {
            json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unready", "cause": cause}), call)
        }
    }
}

fn metrics_text(state: &AdminState, snapshot: &Snapshot, call: &Call<'_>) -> Response<Bytes> {
    let age = clock::monotonic().saturating_duration_since(state.loaded.load().at);
    state.metrics.keys_ages(snapshot.issuers.iter().map(|issuer| (&*issuer.name, age)));
    match state.metrics.text() {
        Ok(text) => {
            let content_type = HeaderValue::from_static(metrics::CONTENT_TYPE);
            render::with_body(StatusCode::OK, content_type, text.into(), call.method)
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be written");
            json_answer(StatusCode::INTERNAL_SERVER_ERROR, &json!({"status": "the metrics cannot be written"}), call)
        }
    }
}

fn foreign_host(call: &Call<'_>) -> Response<Bytes> {
    let message = "Host has to be an IP address or localhost here.";
    let body = json!({"error": {"code": "HOST_FORBIDDEN", "message": message, "requestId": call.request_id}});
    json_answer(StatusCode::FORBIDDEN, &body, call)
}

fn refuse(snapshot: &Snapshot, call: &Call<'_>, rejection: &Rejection) -> Response<Bytes> {
    let trace = Trace { allow: Some(ALLOW.into()), ..Trace::default() };
    render::rejection(snapshot, &Refusal { rejection, trace: &trace, requirement: None }, &call.asked())
}

fn json_answer(status: StatusCode, body: &Value, call: &Call<'_>) -> Response<Bytes> {
    let body = format!("{body}\n");
    render::with_body(status, HeaderValue::from_static("application/json"), body.into(), call.method)
}

fn finish(mut response: Response<Bytes>, call: &Call<'_>) -> Response<Bytes> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    render::insert_text(headers, X_REQUEST_ID.clone(), call.request_id);
    response
}

impl<'a> Call<'a> {
    fn asked(&self) -> Asked<'a> {
        Asked { method: self.method, headers: self.headers, request_id: self.request_id }
    }
}
