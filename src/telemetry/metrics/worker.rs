//! Counting on the request path: each worker keeps the series it has used, so that a request costs a few atomic
//! additions and no look-up by label.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus::{Histogram, IntCounter};

use super::{Metrics, NONE};
use crate::core::token::SignatureCheck;

/// The metrics of one worker; not to be shared between threads.
#[derive(Debug)]
pub struct WorkerMetrics {
    shared: Arc<Metrics>,
    cache: RefCell<Cache>,
    token_hit: IntCounter,
    token_revalidated: IntCounter,
    token_miss: IntCounter,
}

/// A request that was answered, or given up.
#[derive(Debug, Clone, Copy)]
pub struct Finished<'a> {
    /// Number of the snapshot under which the request was decided: the indices below are its.
    pub generation: u64,
    /// The route, if one was matched.
    pub route: Option<RouteRef<'a>>,
    /// The method.
    pub method: &'a Method,
    /// The status of the answer.
    pub status: u16,
    /// What was decided; `None` where nothing was to be (a preflight, the metadata document).
    pub verdict: Option<Verdict>,
    /// From the end of the request head to the end of the answer.
    pub duration: Duration,
    /// The upstream and how long it took to its response head, if it gave one.
    pub upstream: Option<(UpstreamRef<'a>, Duration)>,
}

/// A route of the generation.
#[derive(Debug, Clone, Copy)]
pub struct RouteRef<'a> {
    /// Its index: small, and the same for the whole generation.
    pub index: u32,
    /// Its name.
    pub label: &'a str,
}

/// An upstream of the generation.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamRef<'a> {
    /// Its index: small, and the same for the whole generation.
    pub index: u16,
    /// Its name.
    pub name: &'a str,
}

/// What became of a request. A request that was allowed and then failed at its upstream counts once, as denied for that
/// reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Let through; `shadow` is the mode of the route.
    Allowed {
        /// Whether a denial would not have been carried out.
        shadow: bool,
    },
    /// Refused for this reason.
    Denied(&'static str),
    /// Let through, though it would have been refused for this reason.
    Shadowed(&'static str),
}

impl WorkerMetrics {
    /// The metrics of one worker.
    #[must_use]
    pub fn new(shared: Arc<Metrics>) -> Self {
        let tokens = |result| shared.token_cache.with_label_values(&[result]);
        let (token_hit, token_revalidated, token_miss) = (tokens("hit"), tokens("revalidated"), tokens("miss"));
        Self { shared, cache: RefCell::default(), token_hit, token_revalidated, token_miss }
    }

    /// Counts a token that was looked for among those verified before.
    pub fn token_cache(&self, check: SignatureCheck) {
        match check {
            SignatureCheck::Remembered => self.token_hit.inc(),
            SignatureCheck::Revalidated => self.token_revalidated.inc(),
            SignatureCheck::Verified => self.token_miss.inc(),
        }
    }

    /// Counts a request, once, when it is over.
    pub fn finish(&self, request: &Finished<'_>) {
        let mut cache = self.cache.borrow_mut();
        if request.generation < cache.generation {
            // The last requests of an older snapshot: its indices mean other routes by now.
            Cache::default().count(&self.shared, request);
            return;
        }
        if request.generation > cache.generation {
            *cache = Cache { generation: request.generation, ..Cache::default() };
        }
        cache.count(&self.shared, request);
    }
}

/// The series in use, by the indices of one generation.
#[derive(Debug, Default)]
struct Cache {
    generation: u64,
    unrouted: Option<RouteSeries>,
    routes: Vec<Option<RouteSeries>>,
    upstreams: Vec<Option<Histogram>>,
}

/// The series of one route. The lists are short: a route sees few methods, statuses and reasons, and both ends of every
/// list are bounded.
#[derive(Debug)]
struct RouteSeries {
    duration: Histogram,
    requests: Vec<((MethodLabel, u16), IntCounter)>,
    decisions: Vec<(Verdict, IntCounter)>,
}

impl Cache {
    fn count(&mut self, shared: &Metrics, request: &Finished<'_>) {
        let label = request.route.map_or(NONE, |route| route.label);
        let slot = match request.route {
            Some(route) => slot_at(&mut self.routes, route.index as usize),
            None => Some(&mut self.unrouted),
        };
        if let Some(slot) = slot {
            slot.get_or_insert_with(|| RouteSeries::new(shared, label)).count(shared, label, request);
        }
        if let Some((upstream, duration)) = request.upstream
            && let Some(slot) = slot_at(&mut self.upstreams, usize::from(upstream.index))
        {
            let series = || shared.upstream_duration.with_label_values(&[upstream.name]);
            slot.get_or_insert_with(series).observe(duration.as_secs_f64());
        }
    }
}

impl RouteSeries {
    fn new(shared: &Metrics, label: &str) -> Self {
        let duration = shared.request_duration.with_label_values(&[label]);
        Self { duration, requests: Vec::new(), decisions: Vec::new() }
    }

    fn count(&mut self, shared: &Metrics, label: &str, request: &Finished<'_>) {
        self.duration.observe(request.duration.as_secs_f64());
        let method = MethodLabel::of(request.method);
        counter(&mut self.requests, (method, request.status), || {
            let mut status = itoa::Buffer::new();
            shared.requests.with_label_values(&[label, method.as_str(), status.format(request.status)])
        });
        if let Some(verdict) = request.verdict {
            counter(&mut self.decisions, verdict, || {
                let [decision, reason, mode] = verdict.labels();
                shared.decisions.with_label_values(&[label, decision, reason, mode])
            });
        }
    }
}

/// Counts one in the series of `key`, which is looked up the first time.
fn counter<K: PartialEq>(series: &mut Vec<(K, IntCounter)>, key: K, look_up: impl FnOnce() -> IntCounter) {
    if let Some((_, known)) = series.iter().find(|(other, _)| *other == key) {
        known.inc();
        return;
    }
    let new = look_up();
    new.inc();
    series.push((key, new));
}

fn slot_at<T>(list: &mut Vec<Option<T>>, index: usize) -> Option<&mut Option<T>> {
    if list.len() <= index {
        list.resize_with(index + 1, || None);
    }
    list.get_mut(index)
}

impl Verdict {
    fn labels(self) -> [&'static str; 3] {
        match self {
            Self::Allowed { shadow: false } => ["allow", NONE, "enforce"],
            Self::Allowed { shadow: true } => ["allow", NONE, "shadow"],
            Self::Denied(reason) => ["deny", reason, "enforce"],
            Self::Shadowed(reason) => ["deny", reason, "shadow"],
        }
    }
}

/// The value of `method`: a client can invent methods, and must not invent series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MethodLabel(&'static str);

impl MethodLabel {
    fn of(method: &Method) -> Self {
        const KNOWN: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
        Self(KNOWN.into_iter().find(|known| method == known).unwrap_or("OTHER"))
    }

    fn as_str(self) -> &'static str {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: RouteRef<'_> = RouteRef { index: 3, label: "GET /v1/users" };

    fn finished<'a>(method: &'a Method, status: u16) -> Finished<'a> {
        Finished {
            generation: 1,
            route: Some(USERS),
            method,
            status,
            verdict: Some(Verdict::Allowed { shadow: false }),
            duration: Duration::from_micros(300),
            upstream: None,
        }
    }

    fn has(metrics: &Metrics, line: &str) {
        let text = metrics.text().unwrap();
        assert!(text.contains(line), "{line} in\n{text}");
    }

    #[test]
    fn a_request_counts_in_all_its_series() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(Arc::clone(&metrics));
        let upstream = UpstreamRef { index: 1, name: "users" };
        for _ in 0..2 {
            worker.finish(&Finished {
                upstream: Some((upstream, Duration::from_millis(40))),
                ..finished(&Method::GET, 200)
            });
        }
        worker.finish(&Finished { verdict: Some(Verdict::Denied("scope_missing")), ..finished(&Method::GET, 403) });
        worker.finish(&Finished { verdict: Some(Verdict::Shadowed("token_expired")), ..finished(&Method::GET, 200) });
        worker.finish(&Finished { route: None, verdict: None, ..finished(&Method::OPTIONS, 204) });
        worker.token_cache(SignatureCheck::Remembered);
        worker.token_cache(SignatureCheck::Revalidated);
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} 3"#);
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="403"} 1"#);
        has(&metrics, r#"sidegate_requests_total{method="OPTIONS",route="none",status="204"} 1"#);
        let decided = |decision, reason, mode, count| {
            format!(
                "sidegate_decisions_total{{decision=\"{decision}\",mode=\"{mode}\",reason=\"{reason}\",\
                 route=\"GET /v1/users\"}} {count}"
            )
        };
        has(&metrics, &decided("allow", "none", "enforce", 2));
        has(&metrics, &decided("deny", "scope_missing", "enforce", 1));
        has(&metrics, &decided("deny", "token_expired", "shadow", 1));
        has(&metrics, r#"sidegate_request_duration_seconds_bucket{route="GET /v1/users",le="0.0005"} 4"#);
        has(&metrics, r#"sidegate_request_duration_seconds_bucket{route="GET /v1/users",le="0.00025"} 0"#);
        has(&metrics, r#"sidegate_upstream_duration_seconds_count{upstream="users"} 2"#);
        has(&metrics, r#"sidegate_token_cache_total{result="hit"} 1"#);
        has(&metrics, r#"sidegate_token_cache_total{result="revalidated"} 1"#);
        has(&metrics, r#"sidegate_token_cache_total{result="miss"} 0"#);
        assert!(!metrics.text().unwrap().contains(r#"route="none",decision"#));
    }

    /// Name and type of every metric, as `docs/operating.md` lists them.
    #[test]
    fn the_documentation_has_every_metric() {
        let metrics = Metrics::new().unwrap();
        let upstream = UpstreamRef { index: 0, name: "users" };
        WorkerMetrics::new(Arc::clone(&metrics))
            .finish(&Finished { upstream: Some((upstream, Duration::ZERO)), ..finished(&Method::GET, 200) });
        metrics.keys_ages([("partner", Duration::ZERO)].into_iter());
        metrics.registry_ages([("partner", Duration::ZERO)].into_iter());
        metrics.keys_refreshed("partner", "success");
        let text = metrics.text().unwrap();
        let mut exported: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();

        let rows = include_str!("../../../docs/operating.md").lines().filter(|line| line.starts_with("| `sidegate_"));
        let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
        let mut documented: Vec<String> = cells.map(|cells| format!("{} {}", cells[1], cells[2])).collect();
        exported.sort_unstable();
        documented.sort_unstable();
        assert_eq!(exported, documented);
    }

    #[test]
    fn clients_cannot_invent_series() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(Arc::clone(&metrics));
        for method in ["BREW", "get", "PROPFIND"] {
            worker.finish(&finished(&method.parse().unwrap(), 200));
        }
        worker.finish(&finished(&Method::PATCH, 200));
        has(&metrics, r#"sidegate_requests_total{method="OTHER",route="GET /v1/users",status="200"} 3"#);
        has(&metrics, r#"sidegate_requests_total{method="PATCH",route="GET /v1/users",status="200"} 1"#);
    }

    #[test]
    fn after_a_reload_an_index_means_another_route() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(Arc::clone(&metrics));
        let orders = RouteRef { label: "GET /v1/orders", ..USERS };
        worker.finish(&finished(&Method::GET, 200));
        worker.finish(&Finished { generation: 2, route: Some(orders), ..finished(&Method::GET, 200) });
        // A slow request of the old snapshot ends only now.
        worker.finish(&finished(&Method::GET, 200));
        worker.finish(&Finished { generation: 2, route: Some(orders), ..finished(&Method::GET, 200) });
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} 2"#);
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/orders",status="200"} 2"#);
    }

    #[test]
    fn workers_count_in_the_same_series() {
        let metrics = Metrics::new().unwrap();
        let counting = || {
            let metrics = Arc::clone(&metrics);
            std::thread::spawn(move || {
                let worker = WorkerMetrics::new(metrics);
                (0..1000).for_each(|_| worker.finish(&finished(&Method::GET, 200)));
            })
        };
        let threads = [counting(), counting()];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} 2000"#);
    }
}
