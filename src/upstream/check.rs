//! What goes on in the background: the active health checks, and the look-ups of names.

use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio::time::error::Elapsed;
use tokio::time::{sleep, timeout};

use super::dial::{Dialer, Offer, Version};
use super::error::BoxError;
use super::health::{EndpointHealth, Health};
use super::http2;
use super::resolve::{is_name, resolve_forever};
use crate::config::{HealthCheck, Upstream, UpstreamKind};
use crate::net::stream::Stream;

/// Longest time for a check, if its interval is not shorter.
const TIMEOUT_MAX: Duration = Duration::from_secs(5);
/// Longest response head to a check, in bytes.
const HEAD_MAX: usize = 16 * 1024;

/// Checks and looks up what `upstreams` names, for as long as it is polled. One of it serves all workers; it is dropped
/// when a reload brings other upstreams.
pub async fn check_forever(upstreams: Vec<Upstream>, health: Arc<Health>) {
    let mut tasks = JoinSet::new();
    for (upstream, state) in upstreams.into_iter().zip(health.upstreams()) {
        let UpstreamKind::Http(http) = upstream.kind else { continue };
        for (endpoint, state) in http.endpoints.into_iter().zip(state.endpoints()) {
            if let Some(check) = &http.health_check {
                let dialer = Dialer::new(&endpoint, http.tls.as_ref());
                tasks.spawn(check_endpoint(check.clone(), dialer, upstream.name.clone(), Arc::clone(state)));
            }
            if is_name(&endpoint) {
                tasks.spawn(resolve_forever(endpoint, upstream.name.clone(), Arc::clone(state)));
            }
        }
    }
    // Its tasks end with it and not before.
    pending::<()>().await;
}

async fn check_endpoint(check: HealthCheck, dialer: Dialer, upstream: Box<str>, health: Arc<EndpointHealth>) {
    let Ok(path) = check.path.parse::<Uri>() else {
        return tracing::error!(%upstream, "the path of a health check is no path");
    };
    let limit = check.interval.min(TIMEOUT_MAX);
    // The checks of a fleet that was started at once spread out.
    sleep(random_share(limit.min(Duration::from_secs(1)))).await;
    loop {
        let outcome = timeout(limit, ask(&path, &dialer, &health)).await;
        let good = matches!(&outcome, Ok(Ok(status)) if status.is_success());
        if health.checked(good) {
            let (endpoint, found) = (health.authority(), found(outcome));
            tracing::warn!(%upstream, endpoint, healthy = good, found, "a backend's health check changed its mind");
        }
        sleep(jittered(check.interval)).await;
    }
}

fn found(outcome: Result<Result<StatusCode, BoxError>, Elapsed>) -> String {
    match outcome {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it did not answer in time".to_owned(),
    }
}

/// What an endpoint answers to a GET. Over a connection of its own: a backend that takes no new ones is not healthy,
/// however well the old ones work.
async fn ask(path: &Uri, dialer: &Dialer, health: &EndpointHealth) -> Result<StatusCode, BoxError> {
    let (stream, version) = dial(dialer, health).await?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path.clone();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(health.authority())?);
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("sidegate-health-check"));
    match version {
        Version::Http1 => ask_http1(stream, request).await,
        Version::Http2 => http2::ask(stream, request, dialer.uri_scheme()).await,
    }
}

/// Dials the first address that works.
async fn dial(dialer: &Dialer, health: &EndpointHealth) -> Result<(Stream, Version), BoxError> {
    let addresses = Arc::clone(&health.addresses());
    let mut last = "its name has no address".into();
    for address in &addresses.list {
        match dialer.dial(*address, Offer::Http2OrHttp1).await {
            Ok(dialled) => return Ok(dialled),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask_http1(stream: Stream, mut request: Request<Empty<Bytes>>) -> Result<StatusCode, BoxError> {
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    let (mut sender, connection) = Builder::new()
        .max_buf_size(HEAD_MAX)
        .max_header_size(HEAD_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await?;
    // The connection's errors come to the request, and its end may come with the answer.
    let driver = async {
        drop(connection.await);
        pending().await
    };
    tokio::select! {
        response = sender.send_request(request) => Ok(response?.status()),
        never = driver => never,
    }
}

/// `interval`, a tenth of it more or less.
pub(super) fn jittered(interval: Duration) -> Duration {
    interval * 9 / 10 + random_share(interval / 5)
}

/// Between nothing and `whole`.
fn random_share(whole: Duration) -> Duration {
    // The keys of a hasher are random: no more is needed to be out of step.
    let percent = u32::try_from(RandomState::new().hash_one(0u8) % 101).unwrap_or_default();
    whole / 100 * percent
}
