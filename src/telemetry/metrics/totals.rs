//! What all workers have counted since the process began, as Prometheus wants it.

use std::collections::BTreeMap;
use std::sync::Arc;

use prometheus::proto::{Bucket, Counter, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::published::{self, Published};
use super::series::{self, BOUNDS_MICROS, Counted, Durations};

/// The metrics that the workers count, without those that have no series yet. The series are in the order of their labels.
pub(super) fn families(workers: &[Arc<Published>]) -> impl Iterator<Item = MetricFamily> {
    let routes: Vec<_> = workers.iter().flat_map(|worker| worker.routes.copy()).collect();
    let upstreams: Vec<_> = workers.iter().flat_map(|worker| worker.upstreams.copy()).collect();
    let mut requests = BTreeMap::<_, u64>::new();
    let mut decisions = BTreeMap::<_, u64>::new();
    for (route, series) in routes.iter().filter_map(published::shown) {
        series.counters(|counted, count| match counted {
            Counted::Answered(method, status) => {
                *requests.entry((method.as_str(), route, status)).or_default() += count;
            }
            Counted::Decided(verdict) => *decisions.entry((verdict.labels(), route)).or_default() += count,
        });
    }
    let requests = requests.into_iter().map(|((method, route, status), count)| {
        counter(&[("method", method), ("route", route), ("status", &status.to_string())], count)
    });
    let decisions = decisions.into_iter().map(|(([decision, mode, reason], route), count)| {
        counter(&[("decision", decision), ("mode", mode), ("reason", reason), ("route", route)], count)
    });
    let families = [
        family("sidegate_requests_total", "Requests answered.", MetricType::COUNTER, requests),
        family(
            "sidegate_decisions_total",
            "Requests by what became of them. Mode shadow: a denial that was not carried out.",
            MetricType::COUNTER,
            decisions,
        ),
        family(
            "sidegate_request_duration_seconds",
            "From the end of the request head to the end of the answer.",
            MetricType::HISTOGRAM,
            durations(
                "route",
                routes.iter().filter_map(published::shown).map(|(route, series)| (route, series.durations())),
            ),
        ),
        family(
            "sidegate_upstream_duration_seconds",
            "From the first attempt to connect to the end of the upstream's response head.",
            MetricType::HISTOGRAM,
            durations(
                "upstream",
                upstreams.iter().filter_map(published::shown).map(|(upstream, series)| (upstream, series.durations())),
            ),
        ),
        family(
            "sidegate_token_cache_total",
            "Tokens with a good signature: verified before (hit), verified before and worked out again after a change \
             (revalidated), or verified now (miss).",
            MetricType::COUNTER,
            token_cache(workers),
        ),
    ];
    families.into_iter().filter(|family| !family.get_metric().is_empty())
}

/// They are there from the start, before there are workers.
fn token_cache(workers: &[Arc<Published>]) -> impl Iterator<Item = Metric> {
    let sum = |of: fn(&Published) -> &series::Counter| workers.iter().map(|worker| of(worker).get()).sum();
    let results = [
        ("hit", sum(|worker| &worker.token_hit)),
        ("miss", sum(|worker| &worker.token_miss)),
        ("revalidated", sum(|worker| &worker.token_revalidated)),
    ];
    results.into_iter().map(|(result, count)| counter(&[("result", result)], count))
}

fn durations<'a>(label: &str, series: impl Iterator<Item = (&'a str, Durations)>) -> impl Iterator<Item = Metric> {
    let mut sums = BTreeMap::<&str, Durations>::new();
    for (name, durations) in series {
        sums.entry(name).or_default().add(&durations);
    }
    sums.into_iter().map(move |(name, sum)| {
        let mut metric = Metric::from_label(labels(&[(label, name)]));
        metric.set_histogram(sum.histogram());
        metric
    })
}

impl Durations {
    fn add(&mut self, other: &Self) {
        self.seconds += other.seconds;
        for (sum, count) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += count;
        }
    }

    fn histogram(&self) -> Histogram {
        let mut below = 0;
        let bucket = |(micros, count): (u64, u64)| {
            below += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(micros as f64 / 1e6);
            bucket.set_cumulative_count(below);
            bucket
        };
        let mut histogram = Histogram::default();
        histogram.set_bucket(BOUNDS_MICROS.into_iter().zip(self.buckets).map(bucket).collect());
        // Of all buckets, so that the count is never at odds with them while somebody is counting.
        histogram.set_sample_count(self.buckets.iter().sum());
        histogram.set_sample_sum(self.seconds);
        histogram
    }
}

fn counter(names: &[(&str, &str)], count: u64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(count as f64);
    let mut metric = Metric::from_label(labels(names));
    metric.set_counter(counter);
    metric
}

fn labels(pairs: &[(&str, &str)]) -> Vec<LabelPair> {
    let label = |(name, value): &(&str, &str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    pairs.iter().map(label).collect()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: impl Iterator<Item = Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics.collect());
    family
}
