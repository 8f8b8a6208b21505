//! Looks the names of backends up, again and again, off the request path.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};

use super::check::jittered;
use super::health::EndpointHealth;
use crate::config::Endpoint;

/// Time between two look-ups.
const INTERVAL: Duration = Duration::from_secs(30);
/// Least time between two look-ups, when requests find that nothing listens where they were sent.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Longest time for one.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether an endpoint is a name, whose addresses may change.
pub(super) fn is_name(endpoint: &Endpoint) -> bool {
    endpoint.host.parse::<IpAddr>().is_err()
}

/// Keeps the addresses of one endpoint up to date. What was found last stays when a look-up fails: a backend outlives its
/// name server.
pub(super) async fn resolve_forever(endpoint: Endpoint, health: Arc<EndpointHealth>) {
    loop {
        match timeout(TIMEOUT, look_up(&endpoint)).await {
            Ok(Some(addresses)) => health.set_addresses(addresses),
            Ok(None) | Err(_) => {
                health.resolve_failed();
                tracing::warn!(endpoint = health.authority(), "the name of a backend could not be looked up");
            }
        }
        sleep(INTERVAL_MIN).await;
        let _ = timeout(jittered(INTERVAL), health.resolve.notified()).await;
    }
}

async fn look_up(endpoint: &Endpoint) -> Option<Vec<SocketAddr>> {
    let addresses: Vec<SocketAddr> = lookup_host((&*endpoint.host, endpoint.port)).await.ok()?.collect();
    (!addresses.is_empty()).then_some(addresses)
}
