//! Metrics, for Prometheus.
//!
//! Labels are bounded: they hold names and patterns of the configuration, reasons of a closed list, methods of a closed
//! list and status codes; never what a client sent. Looking a series up by its labels costs more than counting in it, so
//! each worker keeps the series it uses: see [`WorkerMetrics`].

mod worker;

use std::sync::Arc;
use std::time::Duration;

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use self::worker::{Finished, RouteRef, UpstreamRef, Verdict, WorkerMetrics};

/// The content type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The value of `route` for a request that no route matches, and of `reason` for one that was not refused.
const NONE: &str = "none";

/// Upper bounds in seconds: from a local refusal (100 µs) to the longest wait that is usual (30 s).
const DURATION_BUCKETS: [f64; 17] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All series of the process. Cheap to share; the workers count through [`WorkerMetrics`].
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    decisions: IntCounterVec,
    request_duration: HistogramVec,
    upstream_duration: HistogramVec,
    connections: IntGauge,
    tls_handshakes: IntCounterVec,
    keys_age: GaugeVec,
    registry_age: GaugeVec,
    keys_refresh: IntCounterVec,
    config_reload: IntCounterVec,
    token_cache: IntCounterVec,
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
            requests: counters("sidegate_requests_total", "Requests answered.", &["route", "method", "status"])?,
            decisions: counters(
                "sidegate_decisions_total",
                "Requests by what became of them. Mode shadow: a denial that was not carried out.",
                &["route", "decision", "reason", "mode"],
            )?,
            request_duration: durations(
                "sidegate_request_duration_seconds",
                "From the end of the request head to the end of the answer.",
                "route",
            )?,
            upstream_duration: durations(
                "sidegate_upstream_duration_seconds",
                "From the first attempt to connect to the end of the upstream's response head.",
                "upstream",
            )?,
            connections: IntGauge::new("sidegate_connections", "Open client connections.")?,
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
            token_cache: counters(
                "sidegate_token_cache_total",
                "Tokens whose signature had been verified before (hit) or had not (miss).",
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
        for result in ["hit", "miss"] {
            self.token_cache.with_label_values(&[result]);
        }
        self.registry.register(Box::new(build))?;
        self.registry.register(Box::new(self.requests.clone()))?;
        self.registry.register(Box::new(self.decisions.clone()))?;
        self.registry.register(Box::new(self.request_duration.clone()))?;
        self.registry.register(Box::new(self.upstream_duration.clone()))?;
        self.registry.register(Box::new(self.connections.clone()))?;
        self.registry.register(Box::new(self.tls_handshakes.clone()))?;
        self.registry.register(Box::new(self.keys_age.clone()))?;
        self.registry.register(Box::new(self.registry_age.clone()))?;
        self.registry.register(Box::new(self.keys_refresh.clone()))?;
        self.registry.register(Box::new(self.config_reload.clone()))?;
        self.registry.register(Box::new(self.token_cache.clone()))?;
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
        TextEncoder::new().encode_to_string(&self.registry.gather())
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

fn durations(name: &str, help: &str, label: &str) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(DURATION_BUCKETS.to_vec()), &[label])
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
