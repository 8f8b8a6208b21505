//! What is known of the backends, shared by all workers and the background checks: atomics, written when something
//! changes and otherwise only read.

mod endpoint;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::config::{Upstream, UpstreamKind};

pub(super) use self::endpoint::{Addresses, EndpointHealth, Standing};

/// The state of all upstreams, in the order of the configuration.
#[derive(Debug)]
pub struct Health {
    upstreams: Box<[UpstreamHealth]>,
}

/// The state of one upstream.
#[derive(Debug, Clone)]
pub struct UpstreamHealth {
    name: Box<str>,
    endpoints: Box<[Arc<EndpointHealth>]>,
}

/// An endpoint as `/status` shows it.
#[derive(Debug, Clone)]
pub struct EndpointStatus {
    /// Its URL.
    pub url: Box<str>,
    /// Whether requests go there without need.
    pub healthy: bool,
    /// Since when, in milliseconds of Unix time.
    pub since_unix_ms: u64,
    /// What failed last, even if it is healthy again.
    pub last_failure: Option<Failure>,
    /// Where it is.
    pub addresses: Box<[SocketAddr]>,
}

/// What failed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection.
    Connect,
    /// No HTTP that can be passed on.
    Protocol,
    /// The name has no address.
    Resolve,
    /// The active check.
    Check,
}

impl Health {
    /// Everything healthy, nothing looked up.
    #[must_use]
    pub fn new(upstreams: &[Upstream]) -> Arc<Self> {
        Self::succeeding(upstreams, &[], &Self { upstreams: Box::default() })
    }

    /// What is known of the upstreams that are still the same, and of the others that nothing is known. `old` is the
    /// state of `old_upstreams`.
    #[must_use]
    pub fn succeeding(upstreams: &[Upstream], old_upstreams: &[Upstream], old: &Self) -> Arc<Self> {
        let epoch = Instant::now();
        let known = |upstream: &Upstream| {
            old_upstreams
                .iter()
                .zip(old.upstreams())
                .find(|(other, _)| *other == upstream)
                .map(|(_, state)| state.clone())
        };
        let unknown = |upstream: &Upstream| UpstreamHealth {
            name: upstream.name.clone(),
            endpoints: match &upstream.kind {
                UpstreamKind::Echo => Box::default(),
                UpstreamKind::Http(http) => {
                    http.endpoints.iter().map(|endpoint| Arc::new(EndpointHealth::new(endpoint, epoch))).collect()
                }
            },
        };
        let state = |upstream| known(upstream).unwrap_or_else(|| unknown(upstream));
        Arc::new(Self { upstreams: upstreams.iter().map(state).collect() })
    }

    /// All upstreams, in the order of the configuration.
    pub fn upstreams(&self) -> impl ExactSizeIterator<Item = &UpstreamHealth> {
        self.upstreams.iter()
    }
}

impl UpstreamHealth {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its endpoints, in the order of the configuration; none for a built-in upstream.
    pub fn status(&self) -> impl ExactSizeIterator<Item = EndpointStatus> + '_ {
        self.endpoints.iter().map(|endpoint| endpoint.status())
    }

    pub(super) fn endpoints(&self) -> &[Arc<EndpointHealth>] {
        &self.endpoints
    }
}

impl Failure {
    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Connect),
            2 => Some(Self::Protocol),
            3 => Some(Self::Resolve),
            4 => Some(Self::Check),
            _ => None,
        }
    }
}
