//! What goes on in the background: the active health checks, and the look-ups of names.

use std::future::pending;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::error::BoxError;
use super::health::{EndpointHealth, Health};
use super::resolve::{is_name, resolve_forever};
use crate::config::{HealthCheck, Upstream, UpstreamKind};

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
            if is_name(&endpoint) {
                tasks.spawn(resolve_forever(endpoint, Arc::clone(state)));
            }
            if let Some(check) = http.health_check.clone() {
                tasks.spawn(check_endpoint(check, upstream.name.clone(), Arc::clone(state)));
            }
        }
    }
    // Its tasks end with it and not before.
    pending::<()>().await;
}

async fn check_endpoint(check: HealthCheck, upstream: Box<str>, health: Arc<EndpointHealth>) {
    let Ok(path) = check.path.parse::<Uri>() else {
        return tracing::error!(%upstream, "the path of a health check is no path");
    };
    let limit = check.interval.min(TIMEOUT_MAX);
    // The checks of a fleet that was started at once spread out.
    sleep(random_share(limit.min(Duration::from_secs(1)))).await;
    loop {
        let good = matches!(timeout(limit, is_good(&path, &health)).await, Ok(Ok(true)));
        if health.checked(good) {
            let endpoint = health.authority();
            tracing::warn!(%upstream, endpoint, healthy = good, "a backend's health check changed its mind");
        }
        sleep(jittered(check.interval)).await;
    }
}

/// Whether an endpoint answers a GET with 2xx. Over a connection of its own: a backend that takes no new ones is not
/// healthy, however well the old ones work.
async fn is_good(path: &Uri, health: &EndpointHealth) -> Result<bool, BoxError> {
    let addresses = Arc::clone(&health.addresses());
    let stream = TcpStream::connect(&*addresses.list).await?;
    let (mut sender, connection) = Builder::new()
        .max_buf_size(HEAD_MAX)
        .max_header_size(HEAD_MAX)
        .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
        .await?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path.clone();
    request.headers_mut().insert(header::HOST, HeaderValue::from_str(health.authority())?);
    request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("sidegate-health-check"));
    let exchange = async {
        let response = sender.send_request(request).await?;
        Ok::<_, BoxError>(response.status().is_success())
    };
    tokio::select! {
        good = exchange => good,
        ended = connection => match ended {
            Ok(()) => Err("closed before the answer".into()),
            Err(error) => Err(error.into()),
        },
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
