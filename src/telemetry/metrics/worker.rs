//! Counting on the request path: each worker has series of its own, and finds them by their index, so that a request costs
//! a few additions and no look-up by label.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::labels::{MethodLabel, Verdict};
use super::published::{Blocks, Labelled, List, Published};
use super::series::{Answered, Histogram, RouteSeries};
use super::{Metrics, NONE};
use crate::core::index::Index;
use crate::core::token::SignatureCheck;

/// The metrics of one worker; not to be shared between threads.
#[derive(Debug)]
pub struct WorkerMetrics {
    published: Arc<Published>,
    routes: RefCell<Used<RouteSeries>>,
    upstreams: RefCell<Used<Histogram>>,
}

/// A request that was answered, or given up.
#[derive(Clone, Copy)]
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
#[derive(Clone, Copy)]
pub struct RouteRef<'a> {
    /// Its index: small, and the same for the whole generation.
    pub index: u32,
    /// Its name, which is asked for where the index is not enough: the first time, and after a reload.
    pub label: &'a dyn Fn() -> Arc<str>,
}

/// An upstream of the generation.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamRef<'a> {
    /// Its index: small, and the same for the whole generation.
    pub index: u16,
    /// Its name.
    pub name: &'a str,
}

/// The series that one worker has used.
#[derive(Debug)]
struct Used<T> {
    generation: u64,
    /// Numbers of series, by the indices of the generation.
    by_index: Vec<Option<Index>>,
    by_label: ByLabel<T>,
}

/// The same series and those of all generations before: a label goes on where it was.
#[derive(Debug)]
struct ByLabel<T> {
    numbers: HashMap<Arc<str>, Index>,
    blocks: Blocks<T>,
    published: Arc<List<Labelled<T>>>,
}

impl WorkerMetrics {
    /// The metrics of one worker.
    #[must_use]
    pub fn new(shared: &Metrics) -> Self {
        let published = Arc::<Published>::default();
        shared.workers.push(Arc::clone(&published));
        let routes = RefCell::new(Used::new(&published.routes));
        let upstreams = RefCell::new(Used::new(&published.upstreams));
        Self { published, routes, upstreams }
    }

    /// Counts a token that was looked for among those verified before.
    pub fn token_cache(&self, check: SignatureCheck) {
        let counter = match check {
            SignatureCheck::Remembered => &self.published.token_hit,
            SignatureCheck::Revalidated => &self.published.token_revalidated,
            SignatureCheck::Verified => &self.published.token_miss,
        };
        counter.add(1);
    }

    /// Counts a request, once, when it is over.
    pub fn finish(&self, request: &Finished<'_>) {
        // The first place is that of the requests without a route.
        let index = request.route.map_or(0, |route| route.index as usize + 1);
        let label = || request.route.map_or_else(|| NONE.into(), |route| (route.label)());
        self.routes.borrow_mut().with(request.generation, index, label, |series| {
            let method = MethodLabel::of(request.method);
            series.count(Answered { method, status: request.status, verdict: request.verdict }, request.duration);
        });
        if let Some((upstream, duration)) = request.upstream {
            let index = usize::from(upstream.index);
            let observe = |series: &Histogram| series.observe(duration);
            self.upstreams.borrow_mut().with(request.generation, index, || upstream.name.into(), observe);
        }
    }
}

impl<T: Default> Used<T> {
    fn new(published: &Arc<List<Labelled<T>>>) -> Self {
        let by_label = ByLabel { numbers: HashMap::new(), blocks: Blocks::default(), published: Arc::clone(published) };
        Self { generation: 0, by_index: Vec::new(), by_label }
    }

    /// Counts in the series that has this index in the generation, and this label in every one.
    fn with(&mut self, generation: u64, index: usize, label: impl FnOnce() -> Arc<str>, count: impl FnOnce(&T)) {
        let number = self.number(generation, index, label);
        if let Some(series) = self.by_label.blocks.get(number.get()) {
            count(series);
        }
    }

    fn number(&mut self, generation: u64, index: usize, label: impl FnOnce() -> Arc<str>) -> Index {
        if generation < self.generation {
            // The last requests of an older snapshot: its indices mean other routes by now.
            return self.by_label.number(label());
        }
        if generation > self.generation {
            self.generation = generation;
            self.by_index.clear();
        }
        if self.by_index.len() <= index {
            self.by_index.resize(index + 1, None);
        }
        let known = self.by_index.get_mut(index);
        known.map_or(Index::NONE, |known| *known.get_or_insert_with(|| self.by_label.number(label())))
    }
}

impl<T: Default> ByLabel<T> {
    /// The number of the series with this label: what there is to be counted in, or a new one at zero.
    fn number(&mut self, label: Arc<str>) -> Index {
        if let Some(known) = self.numbers.get(&label) {
            return *known;
        }
        let number = Index::new(self.numbers.len());
        if let Some((block, at)) = self.blocks.place(number.get()) {
            self.published.push((Arc::clone(&label), block, at));
        }
        self.numbers.insert(label, number);
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rejection::Reason;

    const USERS: RouteRef<'_> = RouteRef { index: 3, label: &|| "GET /v1/users".into() };

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
        let worker = WorkerMetrics::new(&metrics);
        let upstream = UpstreamRef { index: 1, name: "users" };
        for _ in 0..2 {
            worker.finish(&Finished {
                upstream: Some((upstream, Duration::from_millis(40))),
                ..finished(&Method::GET, 200)
            });
        }
        worker
            .finish(&Finished { verdict: Some(Verdict::Denied(Reason::ScopeMissing)), ..finished(&Method::GET, 403) });
        worker.finish(&Finished {
            verdict: Some(Verdict::Shadowed(Reason::TokenExpired)),
            ..finished(&Method::GET, 200)
        });
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
        WorkerMetrics::new(&metrics)
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
        let worker = WorkerMetrics::new(&metrics);
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
        let worker = WorkerMetrics::new(&metrics);
        let orders = RouteRef { label: &|| "GET /v1/orders".into(), ..USERS };
        worker.finish(&finished(&Method::GET, 200));
        worker.finish(&Finished { generation: 2, route: Some(orders), ..finished(&Method::GET, 200) });
        // A slow request of the old snapshot ends only now.
        worker.finish(&finished(&Method::GET, 200));
        worker.finish(&Finished { generation: 2, route: Some(orders), ..finished(&Method::GET, 200) });
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} 2"#);
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/orders",status="200"} 2"#);
    }

    #[test]
    fn indices_with_the_same_label_are_one_series() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(&metrics);
        for (generation, index) in [(1, 3), (1, 4), (2, 0), (1, 4), (3, 3)] {
            let route = Some(RouteRef { index, ..USERS });
            worker.finish(&Finished { generation, route, ..finished(&Method::GET, 200) });
        }
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} 5"#);
        has(&metrics, r#"sidegate_request_duration_seconds_count{route="GET /v1/users"} 5"#);
    }

    /// They lie in blocks.
    #[test]
    fn each_of_many_routes_has_its_own_series() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(&metrics);
        for generation in [2, 1] {
            for index in 0..70 {
                let label = || format!("/{index}").into();
                let route = Some(RouteRef { index, label: &label });
                (0..=index).for_each(|_| worker.finish(&Finished { generation, route, ..finished(&Method::GET, 200) }));
            }
        }
        for index in 0..70 {
            let count = 2 * (index + 1);
            has(
                &metrics,
                &format!("sidegate_requests_total{{method=\"GET\",route=\"/{index}\",status=\"200\"}} {count}\n"),
            );
        }
    }

    #[test]
    fn a_route_has_as_many_series_as_its_backend_makes_statuses() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(&metrics);
        for _ in 0..3 {
            (100..1000).for_each(|status| worker.finish(&finished(&Method::GET, status)));
        }
        let text = metrics.text().unwrap();
        let threes = text.lines().filter(|line| line.starts_with("sidegate_requests_total") && line.ends_with(" 3"));
        assert_eq!(threes.count(), 900);
        has(
            &metrics,
            r#"sidegate_decisions_total{decision="allow",mode="enforce",reason="none",route="GET /v1/users"} 2700"#,
        );
    }

    #[test]
    fn durations_are_in_the_bucket_of_the_next_bound() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(&metrics);
        for nanos in [99_000, 100_000, 100_001, 30_000_000_000, 30_000_000_001] {
            worker.finish(&Finished { duration: Duration::from_nanos(nanos), ..finished(&Method::GET, 200) });
        }
        for (bound, count) in [("0.0001", 2), ("0.00025", 3), ("10", 3), ("30", 4)] {
            let bucket = "sidegate_request_duration_seconds_bucket";
            has(&metrics, &format!("{bucket}{{route=\"GET /v1/users\",le=\"{bound}\"}} {count}\n"));
        }
        let text = metrics.text().unwrap();
        let sum = "sidegate_request_duration_seconds_sum{route=\"GET /v1/users\"} ";
        let sum: f64 = text.lines().find_map(|line| line.strip_prefix(sum)).unwrap().parse().unwrap();
        assert!((sum - 60.000_299_002).abs() < 1e-9, "{sum}");
        has(&metrics, "sidegate_request_duration_seconds_count{route=\"GET /v1/users\"} 5\n");
    }

    #[test]
    fn durations_of_upstreams_are_in_buckets_too() {
        let metrics = Metrics::new().unwrap();
        let worker = WorkerMetrics::new(&metrics);
        let upstream = UpstreamRef { index: 1, name: "users" };
        for millis in [0, 30, 50, 31_000] {
            let upstream = Some((upstream, Duration::from_millis(millis)));
            worker.finish(&Finished { upstream, ..finished(&Method::GET, 200) });
        }
        for (bound, count) in [("0.0001", 1), ("0.025", 1), ("0.05", 3), ("30", 3), ("+Inf", 4)] {
            let bucket = "sidegate_upstream_duration_seconds_bucket";
            has(&metrics, &format!("{bucket}{{upstream=\"users\",le=\"{bound}\"}} {count}\n"));
        }
        has(&metrics, "sidegate_upstream_duration_seconds_sum{upstream=\"users\"} 31.08\n");
    }

    /// While two workers count, one after the other is gone, and reload after reload gives the route another index.
    #[test]
    fn nothing_ever_goes_down() {
        const REQUESTS: u32 = 20_000;
        const FAST: Duration = Duration::from_micros(300);
        const SLOW: Duration = Duration::from_millis(300);
        let metrics = Metrics::new().unwrap();
        let threads = [1, 2].map(|rounds| {
            let metrics = Arc::clone(&metrics);
            std::thread::spawn(move || {
                let worker = WorkerMetrics::new(&metrics);
                for n in 0..rounds * REQUESTS {
                    let (generation, route) = (u64::from(n / 1000), Some(RouteRef { index: n / 1000 % 3, ..USERS }));
                    let (status, duration) = if n % 2 == 0 { (200, FAST) } else { (503, SLOW) };
                    worker.finish(&Finished { generation, route, duration, ..finished(&Method::GET, status) });
                }
            })
        });
        let series = [
            r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} "#,
            r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="503"} "#,
            // None of them took longer than 300 ms. The bucket without a bound would be made of the count.
            r#"sidegate_request_duration_seconds_bucket{route="GET /v1/users",le="0.5"} "#,
            r#"sidegate_request_duration_seconds_count{route="GET /v1/users"} "#,
        ];
        let values = || -> [u64; 4] {
            let text = metrics.text().unwrap();
            series
                .map(|series| text.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |n| n.parse().unwrap()))
        };
        let mut last = values();
        while !threads.iter().all(std::thread::JoinHandle::is_finished) {
            let next = values();
            assert!(last.iter().zip(&next).all(|(last, next)| last <= next), "{last:?} {next:?}");
            assert_eq!(next[2], next[3]);
            last = next;
        }
        let all = 3 * u64::from(REQUESTS);
        assert_eq!(values(), [all / 2, all / 2, all, all]);
    }

    #[test]
    fn workers_count_in_the_same_series() {
        let metrics = Metrics::new().unwrap();
        let counting = || {
            let metrics = Arc::clone(&metrics);
            std::thread::spawn(move || {
                let worker = WorkerMetrics::new(&metrics);
                (0..1000).for_each(|_| worker.finish(&finished(&Method::GET, 200)));
            })
        };
        let threads = [counting(), counting()];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        has(&metrics, r#"sidegate_requests_total{method="GET",route="GET /v1/users",status="200"} 2000"#);
    }
}
