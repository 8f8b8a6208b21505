//! The state of one endpoint: what requests found, what the active check found, and where it is.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::{EndpointStatus, Failure};
use crate::config::{Endpoint, Scheme};

/// The first time that an endpoint is left alone after a failure; it doubles with each further one.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Failed checks in a row after which an endpoint counts as down.
const CHECKS_TO_DOWN: u32 = 2;

/// The state of one endpoint.
#[derive(Debug)]
pub(in crate::upstream) struct EndpointHealth {
    scheme: Scheme,
    authority: Box<str>,
    /// Times below are in milliseconds since then.
    epoch: Instant,
    /// Failures in a row; 0 is what a request sees nearly always.
    failures: AtomicU32,
    /// Until then it is left alone, after a failure.
    retry_at_ms: AtomicU64,
    /// Failed checks in a row.
    failed_checks: AtomicU32,
    /// Whether the active check found it down.
    down: AtomicBool,
    /// Unix time of the last change between healthy and unhealthy, in milliseconds.
    since_unix_ms: AtomicU64,
    last_failure: AtomicU8,
    addresses: ArcSwap<Addresses>,
    /// Wakes whoever waits for the first address.
    pub(in crate::upstream) resolved: Notify,
    /// Asks for the name to be looked up soon.
    pub(in crate::upstream) resolve: Notify,
}

/// The addresses of an endpoint.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Addresses {
    /// Grows with each change.
    pub(in crate::upstream) generation: u64,
    /// In the resolver's order; empty until the name was looked up.
    pub(in crate::upstream) list: Box<[SocketAddr]>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Protocol => "no HTTP that can be passed on",
            Self::Resolve => "the name has no address",
            Self::Check => "the health check failed",
        })
    }
}

/// Whether an endpoint is to be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upstream) enum Standing {
    /// Use it.
    Healthy,
    /// It failed, and it is time to try whether it still does.
    ProbeDue,
    /// Leave it alone as long as there is another. The more, the worse.
    Unhealthy(u64),
}

impl EndpointHealth {
    pub(in crate::upstream) fn new(endpoint: &Endpoint, epoch: Instant) -> Self {
        let literal = endpoint.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, endpoint.port));
        Self {
            scheme: endpoint.scheme,
            authority: authority(endpoint),
            epoch,
            failures: AtomicU32::new(0),
            retry_at_ms: AtomicU64::new(0),
            failed_checks: AtomicU32::new(0),
            down: AtomicBool::new(false),
            since_unix_ms: AtomicU64::new(unix_ms()),
            last_failure: AtomicU8::new(0),
            addresses: ArcSwap::from_pointee(Addresses { generation: 0, list: literal.into_iter().collect() }),
            resolved: Notify::new(),
            resolve: Notify::new(),
        }
    }

    /// Host and port, the port left out if it is the scheme's.
    pub(in crate::upstream) fn authority(&self) -> &str {
        &self.authority
    }

    pub(in crate::upstream) fn addresses(&self) -> arc_swap::Guard<Arc<Addresses>> {
        self.addresses.load()
    }

    /// Takes over what the resolver says, if it is something else than before in more than its order.
    pub(in crate::upstream) fn set_addresses(&self, mut list: Vec<SocketAddr>) {
        let mut seen = Vec::with_capacity(list.len());
        list.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        let old = self.addresses.load();
        let same = old.list.len() == list.len() && list.iter().all(|address| old.list.contains(address));
        if !same {
            let addresses = Addresses { generation: old.generation + 1, list: list.into() };
            self.addresses.store(Arc::new(addresses));
        }
        self.resolved.notify_waiters();
    }

    /// Whether to use it. Two loads for a healthy one.
    pub(in crate::upstream) fn standing(&self) -> Standing {
        let down = self.down.load(Relaxed);
        if self.failures.load(Relaxed) == 0 {
            return if down { Standing::Unhealthy(u64::MAX) } else { Standing::Healthy };
        }
        let retry_at_ms = self.retry_at_ms.load(Relaxed);
        if !down && self.now_ms() >= retry_at_ms { Standing::ProbeDue } else { Standing::Unhealthy(retry_at_ms) }
    }

    /// Claims the one request that tries a failed endpoint again. Of all workers one gets it; should nothing be heard of
    /// it, another is due after the same time again.
    pub(in crate::upstream) fn claim_probe(&self) -> bool {
        let due = self.retry_at_ms.load(Relaxed);
        let now = self.now_ms();
        let next = now.saturating_add(back_off_ms(self.failures.load(Relaxed)));
        now >= due && self.retry_at_ms.compare_exchange(due, next, Relaxed, Relaxed).is_ok()
    }

    /// A request failed. Requests that were under way together fail together and count as one failure; a probe counts.
    pub(in crate::upstream) fn failed(&self, failure: Failure, probe: bool) {
        let now = self.now_ms();
        let known = self.failures.load(Relaxed);
        if known > 0 && !probe && now < self.retry_at_ms.load(Relaxed) {
            return;
        }
        self.last_failure.store(failure as u8 + 1, Relaxed);
        self.retry_at_ms.store(now.saturating_add(back_off_ms(known + 1)), Relaxed);
        self.changing(|| self.failures.store(known.saturating_add(1), Relaxed));
    }

    /// A request was answered.
    pub(in crate::upstream) fn answered(&self) {
        if self.failures.load(Relaxed) != 0 {
            self.changing(|| self.failures.store(0, Relaxed));
        }
    }

    /// The active check came out. A good one forgives what requests found. Returns whether it changed its mind.
    pub(in crate::upstream) fn checked(&self, good: bool) -> bool {
        let before = self.down.load(Relaxed);
        if good {
            self.failed_checks.store(0, Relaxed);
            self.changing(|| {
                self.down.store(false, Relaxed);
                self.failures.store(0, Relaxed);
            });
            return before;
        }
        let failed = self.failed_checks.fetch_add(1, Relaxed).saturating_add(1);
        if failed >= CHECKS_TO_DOWN {
            self.last_failure.store(Failure::Check as u8 + 1, Relaxed);
            self.changing(|| self.down.store(true, Relaxed));
        }
        before != self.down.load(Relaxed)
    }

    /// The name could not be looked up. What is known of it stays.
    pub(in crate::upstream) fn resolve_failed(&self) {
        self.last_failure.store(Failure::Resolve as u8 + 1, Relaxed);
    }

    pub(super) fn status(&self) -> EndpointStatus {
        EndpointStatus {
            url: format!("{}://{}", scheme_name(self.scheme), self.authority).into(),
            healthy: self.is_healthy(),
            since_unix_ms: self.since_unix_ms.load(Relaxed),
            last_failure: Failure::from_code(self.last_failure.load(Relaxed)),
            addresses: self.addresses.load().list.clone(),
        }
    }

    fn is_healthy(&self) -> bool {
        self.failures.load(Relaxed) == 0 && !self.down.load(Relaxed)
    }

    /// Runs `change` and notes the time if it turned healthy into unhealthy or back.
    fn changing(&self, change: impl FnOnce()) {
        let before = self.is_healthy();
        change();
        if before != self.is_healthy() {
            self.since_unix_ms.store(unix_ms(), Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn back_off_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    let back_off = BACK_OFF_MIN.saturating_mul(1 << doublings).min(BACK_OFF_MAX);
    u64::try_from(back_off.as_millis()).unwrap_or(u64::MAX)
}

fn authority(endpoint: &Endpoint) -> Box<str> {
    let host = &endpoint.host;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_string() };
    let usual = match endpoint.scheme {
        Scheme::Http | Scheme::H2c => 80,
        Scheme::Https => 443,
    };
    if endpoint.port == usual { host.into() } else { format!("{host}:{}", endpoint.port).into() }
}

fn scheme_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Http => "http",
        Scheme::H2c => "h2c",
        Scheme::Https => "https",
    }
}

fn unix_ms() -> u64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> EndpointHealth {
        EndpointHealth::new(&Endpoint { scheme: Scheme::Http, host: host.into(), port: 8080 }, Instant::now())
    }

    #[test]
    fn a_failure_takes_it_out_and_an_answer_brings_it_back() {
        let health = endpoint("127.0.0.1");
        assert_eq!(health.standing(), Standing::Healthy);
        health.failed(Failure::Connect, false);
        assert!(matches!(health.standing(), Standing::Unhealthy(_)));
        assert_eq!(health.status().last_failure, Some(Failure::Connect));
        health.answered();
        assert_eq!(health.standing(), Standing::Healthy);
        assert!(health.status().healthy);
    }

    #[test]
    fn failures_at_the_same_time_are_one() {
        let health = endpoint("127.0.0.1");
        for _ in 0..100 {
            health.failed(Failure::Connect, false);
        }
        assert_eq!(health.failures.load(Relaxed), 1);
        health.failed(Failure::Connect, true);
        assert_eq!(health.failures.load(Relaxed), 2);
    }

    #[test]
    fn one_request_probes() {
        let health = endpoint("127.0.0.1");
        health.failed(Failure::Protocol, false);
        assert!(!health.claim_probe());
        health.retry_at_ms.store(0, Relaxed);
        assert_eq!(health.standing(), Standing::ProbeDue);
        assert!(health.claim_probe());
        assert!(!health.claim_probe());
    }

    #[test]
    fn the_back_off_doubles_up_to_its_end() {
        assert_eq!([0, 1, 2, 3, 5, 6, 1000].map(back_off_ms), [1000, 1000, 2000, 4000, 16000, 30000, 30000]);
    }

    #[test]
    fn two_failed_checks_are_down_and_one_good_is_up() {
        let health = endpoint("127.0.0.1");
        health.checked(false);
        assert_eq!(health.standing(), Standing::Healthy);
        health.checked(false);
        assert_eq!(health.standing(), Standing::Unhealthy(u64::MAX));
        health.answered();
        assert_eq!(health.standing(), Standing::Unhealthy(u64::MAX), "only a check brings it back");
        health.checked(true);
        assert_eq!(health.standing(), Standing::Healthy);
    }

    #[test]
    fn addresses_change_only_when_they_differ() {
        let health = endpoint("backend.internal");
        assert!(health.addresses().list.is_empty());
        let [a, b] = ["10.0.0.1:80", "10.0.0.2:80"].map(|text| text.parse::<SocketAddr>().unwrap());
        health.set_addresses(vec![a, b, a]);
        health.set_addresses(vec![b, a]);
        assert_eq!((health.addresses().generation, &*health.addresses().list), (1, &[a, b][..]));
        health.set_addresses(vec![b]);
        assert_eq!(health.addresses().generation, 2);
    }

    #[test]
    fn an_authority_has_brackets_and_a_port_where_needed() {
        let authority = |host: &str, port| authority(&Endpoint { scheme: Scheme::Http, host: host.into(), port });
        assert_eq!(&*authority("a", 80), "a");
        assert_eq!(&*authority("a", 81), "a:81");
        assert_eq!(&*authority("::1", 3000), "[::1]:3000");
        let url = |scheme, port| {
            EndpointHealth::new(&Endpoint { scheme, host: "a".into(), port }, Instant::now()).status().url
        };
        assert_eq!(&*url(Scheme::Https, 443), "https://a");
        assert_eq!(&*url(Scheme::Https, 80), "https://a:80");
        assert_eq!(&*url(Scheme::H2c, 50051), "h2c://a:50051");
    }
}
