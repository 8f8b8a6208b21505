//! The admin and the health listener's answers: health, readiness, metrics, status, and the admin API.
//!
//! [`answer`] is a function from a request to what comes of it; [`listener`] serves it like any other service.

mod api;
mod guard;
pub mod listener;
mod readiness;
mod status;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};

use self::readiness::Standing;
pub use self::readiness::{Phase, Readiness};
use crate::authority::store::Store;
use crate::clock;
use crate::core::decision::Trace;
use crate::core::fields::X_REQUEST_ID;
use crate::core::head::{RequestHead, Target};
use crate::core::rejection::{Reason, Rejection};
use crate::core::snapshot::Snapshot;
use crate::fronts::render::{self, Asked, Refusal};
use crate::live::keys::KeyOrigin;
use crate::live::registry::RegistryStates;
use crate::live::reload::Reloaded;
use crate::live::state::{Generation, Live};
use crate::telemetry::metrics::{self, Metrics};

/// What the answers are made from.
pub struct AdminState {
    /// The generation in force.
    pub live: Arc<Live>,
    /// Where it came from.
    pub loaded: ArcSwap<Loaded>,
    /// Why the last reload failed; `None` if it did not.
    pub last_reload_error: ArcSwapOption<String>,
    /// Whether requests may be sent here.
    pub readiness: Readiness,
    /// How it stands with the client registries that are followed.
    pub registries: RegistryStates,
    /// The authority's storage, once it is open.
    pub store: Arc<OnceLock<Store>>,
    /// The series behind `/metrics`.
    pub metrics: Arc<Metrics>,
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
    Reload,
}

/// What comes of a call.
#[derive(Debug)]
pub enum Reply {
    /// This answer.
    Answer(Response<Bytes>),
    /// The configuration is to be reloaded, and the outcome told by [`reloaded`].
    Reload,
    /// The request is for the admin API, which has to read its body and to wait.
    Api,
}

impl Endpoint {
    fn find(surface: Surface, path: &str) -> Option<Self> {
        match (path, surface) {
            ("/healthz", _) => Some(Self::Healthz),
            ("/readyz", _) => Some(Self::Readyz),
            ("/metrics", _) => Some(Self::Metrics),
            ("/status", Surface::Admin) => Some(Self::Status),
            ("/reload", Surface::Admin) => Some(Self::Reload),
            _ => None,
        }
    }

    /// The methods, as `Allow` names them.
    fn methods(self) -> &'static str {
        match self {
            Self::Reload => "POST",
            Self::Healthz | Self::Readyz | Self::Metrics | Self::Status => "GET, HEAD",
        }
    }

    /// Probes have no token, and learn nothing but whether we are well.
    fn is_health(self) -> bool {
        matches!(self, Self::Healthz | Self::Readyz)
    }
}

/// What comes of a request on the admin or the health listener.
#[must_use]
pub fn answer(state: &AdminState, call: &Call<'_>) -> Reply {
    let live = state.live.load();
    let snapshot = &live.snapshot;
    let head = RequestHead { method: call.method, target: call.target, headers: call.headers.into() };
    let target = match head.target() {
        Ok(target) => target,
        Err(rejection) => return Reply::Answer(refuse(snapshot, call, &rejection, "")),
    };
    let endpoint = Endpoint::find(call.surface, target.raw_path);
    if let Some(refusal) = misplaced(call, &target) {
        return Reply::Answer(refusal);
    }
    if call.surface == Surface::Admin && api::is_asked(target.raw_path) {
        return Reply::Api;
    }
    if let Some(refusal) = refusal(state, &live, call, endpoint) {
        return Reply::Answer(refusal);
    }
    Reply::Answer(match endpoint {
        None => refuse(snapshot, call, &Rejection::new(Reason::RouteUnknown, "no such endpoint"), ""),
        Some(endpoint) if !endpoint.methods().split(", ").any(|method| call.method == method) => {
            let rejection = Rejection::new(Reason::MethodNotAllowed, "the endpoint does not have this method");
            refuse(snapshot, call, &rejection, endpoint.methods())
        }
        Some(Endpoint::Reload) => return Reply::Reload,
        Some(Endpoint::Healthz) => finish(json_answer(StatusCode::OK, &json!({"status": "alive"}), call), call),
        Some(Endpoint::Readyz) => {
            finish(readyz(Standing::of(state.readiness.phase(), &live, &state.registries), call), call)
        }
        Some(Endpoint::Metrics) => finish(metrics_text(state, &live, call), call),
        Some(Endpoint::Status) => finish(json_answer(StatusCode::OK, &status::document(state, &live), call), call),
    })
}

/// The answer to a reload: its outcome.
#[must_use]
pub fn reloaded(call: &Call<'_>, outcome: &Result<Reloaded, String>) -> Response<Bytes> {
    let (status, body) = match outcome {
        Ok(reloaded) => {
            let Reloaded { snapshot, config_hash, warnings } = reloaded;
            let body = json!({"status": "reloaded", "snapshot": snapshot, "hash": config_hash, "warnings": warnings});
            (StatusCode::OK, body)
        }
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, json!({"error": error})),
    };
    finish(json_answer(status, &body, call), call)
}

/// The answer to a request for the admin listener that was not meant for it.
fn misplaced(call: &Call<'_>, target: &Target<'_>) -> Option<Response<Bytes>> {
    if call.surface != Surface::Admin {
        return None;
    }
    let (code, message) = if !guard::is_own_host(&target.host) {
        tracing::warn!(peer = %call.peer, "an admin request was refused: its Host is a foreign name");
        ("HOST_FORBIDDEN", "Host has to be an IP address or localhost here.")
    } else if guard::is_cross_site(call.method, call.headers) {
        tracing::warn!(peer = %call.peer, "an admin request was refused: a page of another site sent it");
        ("CROSS_SITE", "Pages of other sites may not do this.")
    } else {
        return None;
    };
    Some(match api::is_asked(target.raw_path) {
        true => api::forbidden(call, code, message),
        false => forbidden(call, code, message),
    })
}

/// The answer to whoever may not call `endpoint` on the admin listener.
fn refusal(
    state: &AdminState,
    live: &Generation,
    call: &Call<'_>,
    endpoint: Option<Endpoint>,
) -> Option<Response<Bytes>> {
    let open = endpoint.is_some_and(Endpoint::is_health) || guard::is_loopback(state.admin_address);
    if open || call.surface != Surface::Admin { None } else { guard::without_leave(live, call) }
}

fn readyz(standing: Standing, call: &Call<'_>) -> Response<Bytes> {
    let (status, body) = match standing {
        Standing::Ready => (StatusCode::OK, json!({"status": "ready"})),
        Standing::Degraded(cause) => (StatusCode::OK, json!({"status": "degraded", "cause": cause})),
        Standing::Unready(cause) => (StatusCode::SERVICE_UNAVAILABLE, json!({"status": "unready", "cause": cause})),
    };
    json_answer(status, &body, call)
}

fn metrics_text(state: &AdminState, live: &Generation, call: &Call<'_>) -> Response<Bytes> {
    let now = clock::timer();
    let age = |origin: &KeyOrigin| origin.state.known().good.map(|good| good.age(now));
    let issuers = live.snapshot.issuers.iter().zip(&*live.key_origins);
    state.metrics.keys_ages(issuers.filter_map(|(issuer, origin)| Some((&*issuer.name, age(origin)?))));
    let registries = state.registries.all();
    let ages = registries.iter().filter_map(|(issuer, registry)| Some((&**issuer, registry.age(now)?)));
    state.metrics.registry_ages(ages);
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

fn forbidden(call: &Call<'_>, code: &str, message: &str) -> Response<Bytes> {
    let body = json!({"error": {"code": code, "message": message, "requestId": call.request_id}});
    finish(json_answer(StatusCode::FORBIDDEN, &body, call), call)
}

fn refuse(snapshot: &Snapshot, call: &Call<'_>, rejection: &Rejection, allow: &str) -> Response<Bytes> {
    let trace = Trace { allow: Some(allow.into()), ..Trace::default() };
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
