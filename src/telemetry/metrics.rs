//! Metrics, for Prometheus.
//!
//! Labels are bounded: they hold names and patterns of the configuration, reasons of a closed list, methods of a closed
//! list and status codes; never what a client sent. What requests are counted in, each worker has for itself, and it is added
//! up when somebody asks: see [`WorkerMetrics`]. The rest happens seldom, and is counted in series of the whole process.

mod labels;
mod published;
mod series;
mod totals;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

pub use self::labels::Verdict;
use self::published::{List, Published};
pub use self::worker::{Finished, RouteRef, UpstreamRef, WorkerMetrics};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The value of `route` for a request that no route matches, and of `reason` for one that was not refused.
const NONE: &str = "none";

/// All series of the process. Cheap to share; the workers count through [`WorkerMetrics`].
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    workers: List<Arc<Published>>,
    connections: IntGauge,
    tls_handshakes: IntCounterVec,
    keys_age: GaugeVec,
    registry_age: GaugeVec,
    keys_refresh: IntCounterVec,
    config_reload: IntCounterVec,
    access_log_dropped: IntCounter,
}

impl Metrics {
    /// All series, at zero.
    ///
    /// # Errors
    /// If two of them have the same name.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let metrics = Self {
            registry: Registry::new(),
            workers: List::default(),
            connections: IntGauge::new(
                "sidegate_connections",
                "Open connections of clients, and of proxies that ask.",
            )?,
            tls_handshakes: counters(
                "sidegate_tls_handshakes_total",
                "TLS handshakes that clients began, by how they ended.",
                &["result"],
            )?,
            registry_age: GaugeVec::new(
                Opts::new(
                    "sidegate_registry_age_seconds",
                    "For how long the client registry may have missed changes: 0 while its source is followed.",
                ),
                &["issuer"],
            )?,
            keys_age: GaugeVec::new(
                Opts::new(
                    "sidegate_keys_age_seconds",
                    "Time since the issuer's keys were last fetched, or read from their file.",
                ),
                &["issuer"],
            )?,
            keys_refresh: counters(
                "sidegate_keys_refresh_total",
                "Fetches of an issuer's keys.",
                &["issuer", "result"],
            )?,
            config_reload: counters(
                "sidegate_config_reload_total",
                "Loads of the configuration, the first one included.",
                &["result"],
            )?,
            access_log_dropped: IntCounter::new(
                "sidegate_access_log_dropped_total",
                "Access log lines that were lost because the log could not keep up or could not be written.",
            )?,
        };
        metrics.register()?;
        Ok(Arc::new(metrics))
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let build =
            IntGaugeVec::new(Opts::new("sidegate_build_info", "Always 1; the version is the label."), &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        // Series that exist from the start can be alerted on before the first event.
        for result in ["success", "failure"] {
            self.config_reload.with_label_values(&[result]);
        }
        for result in ["success", "failure", "timeout"] {
            self.tls_handshakes.with_label_values(&[result]);
        }
        self.registry.register(Box::new(build))?;
        self.registry.register(Box::new(self.connections.clone()))?;
        self.registry.register(Box::new(self.tls_handshakes.clone()))?;
        self.registry.register(Box::new(self.keys_age.clone()))?;
        self.registry.register(Box::new(self.registry_age.clone()))?;
        self.registry.register(Box::new(self.keys_refresh.clone()))?;
        self.registry.register(Box::new(self.config_reload.clone()))?;
        self.registry.register(Box::new(self.access_log_dropped.clone()))
    }

    /// Counts an open connection until the value is dropped.
    #[must_use]
    pub fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// Counts a TLS handshake with a client. `result` is `success`, `failure` or `timeout`.
    pub fn tls_handshake(&self, result: &'static str) {
        self.tls_handshakes.with_label_values(&[result]).inc();
    }

    /// Counts a load of the configuration.
    pub fn config_loaded(&self, success: bool) {
        self.config_reload.with_label_values(&[if success { "success" } else { "failure" }]).inc();
    }

    /// Counts a fetch of an issuer's keys. `result` is one word of a few.
    pub fn keys_refreshed(&self, issuer: &str, result: &'static str) {
        self.keys_refresh.with_label_values(&[issuer, result]).inc();
    }

    /// Sets the ages of the issuers' keys. An issuer that is not named is gone, or has none yet.
    pub fn keys_ages<'a>(&self, ages: impl Iterator<Item = (&'a str, Duration)>) {
        set_ages(&self.keys_age, ages);
    }

    /// Says for how long each issuer's client registry may have missed changes.
    pub fn registry_ages<'a>(&self, ages: impl Iterator<Item = (&'a str, Duration)>) {
        set_ages(&self.registry_age, ages);
    }

    /// Counts access log lines that were lost.
    #[must_use]
    pub fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    /// All series in the text format 0.0.4.
    ///
    /// # Errors
    /// If a series cannot be written.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        let mut families = self.registry.gather();
        families.extend(totals::families(&self.workers.copy()));
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new().encode_to_string(&families)
    }
}

/// An open client connection, as counted by [`Metrics::connection`].
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// Those of issuers that are gone are forgotten.
fn set_ages<'a>(gauge: &GaugeVec, ages: impl Iterator<Item = (&'a str, Duration)>) {
    gauge.reset();
    for (issuer, age) in ages {
        gauge.with_label_values(&[issuer]).set(age.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_always_there_is_there_from_the_start() {
        let text = Metrics::new().unwrap().text().unwrap();
        let build = format!("sidegate_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
        for line in [
            build.as_str(),
            "sidegate_connections 0\n",
            "sidegate_config_reload_total{result=\"failure\"} 0\n",
            "sidegate_config_reload_total{result=\"success\"} 0\n",
            "sidegate_token_cache_total{result=\"hit\"} 0\n",
            "sidegate_access_log_dropped_total 0\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn connections_and_loads_are_counted() {
        let metrics = Metrics::new().unwrap();
        let (one, two) = (metrics.connection(), metrics.connection());
        drop(one);
        metrics.config_loaded(true);
        metrics.keys_refreshed("partner", "timeout");
        metrics.keys_ages([("gone", Duration::ZERO)].into_iter());
        metrics.keys_ages([("partner", Duration::from_millis(12_500))].into_iter());
        let text = metrics.text().unwrap();
        assert!(text.contains("sidegate_connections 1\n"), "{text}");
        assert!(text.contains("sidegate_config_reload_total{result=\"success\"} 1\n"), "{text}");
        assert!(text.contains("sidegate_keys_age_seconds{issuer=\"partner\"} 12.5\n"), "{text}");
        let refreshes = "sidegate_keys_refresh_total{issuer=\"partner\",result=\"timeout\"} 1\n";
        assert!(text.contains(refreshes), "{text}");
        assert!(!text.contains("gone"), "{text}");
        drop(two);
        assert!(metrics.text().unwrap().contains("sidegate_connections 0\n"));
    }
}
