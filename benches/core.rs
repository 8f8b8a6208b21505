//! What a decision costs, step by step.
#![allow(missing_docs, reason = "criterion's macros make public items without docs")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that cannot start has to end"
)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use sidegate::core::NoMemo;
use sidegate::core::keyset::{KEYS_MAX, Keyset};
use sidegate::core::path::CanonicalPath;
use sidegate::core::registry::{Availability, Clients, Registered, Registry};
use sidegate::core::route::RouteTable;
use sidegate::core::snapshot::{IssuerId, PathReading, Snapshot};
use sidegate::live::memo::TokenMemo;

#[path = "../tests/it/support/decisions.rs"]
mod decisions;
#[path = "../tests/it/support/mint.rs"]
#[expect(dead_code, reason = "of the tests' helpers only some are needed here")]
mod mint;
#[path = "../tests/it/support/routes.rs"]
#[expect(dead_code, reason = "of the tests' helpers only some are needed here")]
mod routes;

/// The same requests are asked of tables of every size, so that what differs is the table alone.
const REQUESTS: usize = 10_000;
const SIZES: [usize; 3] = [10, 1_000, 10_000];

fn table(size: usize) -> RouteTable {
    let pattern = |i: usize| match i % 4 {
        0 => format!("GET /v1/resource-{i}"),
        1 => format!("GET /v1/resource-{i}/{{id}}"),
        2 => format!("GET,PUT /v1/resource-{i}/{{id}}/items/{{item}}"),
        _ => format!("GET /v1/resource-{i}/files/{{*path}}"),
    };
    let routes = (0..size).map(|i| routes::route(&pattern(i), None, PathReading::Folding));
    RouteTable::build(routes.collect()).expect("no conflict")
}

/// The path of request `n` to route `i`.
fn path(i: usize, n: usize) -> String {
    match i % 4 {
        0 => format!("/v1/resource-{i}"),
        1 => format!("/v1/resource-{i}/3f2504e0-{n}"),
        2 => format!("/v1/resource-{i}/3f2504e0-{n}/items/{n}"),
        _ => format!("/v1/resource-{i}/files/a/b/{n}.txt"),
    }
}

/// One route after another, all over the table.
fn match_any(c: &mut Criterion) {
    let mut group = c.benchmark_group("route/any");
    for size in SIZES {
        let table = table(size);
        let raw: Vec<String> = (0..REQUESTS).map(|n| path(n.wrapping_mul(7919) % size, n)).collect();
        let paths: Vec<_> = raw.iter().map(|raw| CanonicalPath::parse(raw).expect("canonical")).collect();
        let upstreams = routes::upstreams();
        let mut next = paths.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| table.find(&Method::GET, "api.example", next.next().expect("endless"), &upstreams));
        });
    }
    group.finish();
}

/// The same path again and again; in upper case it is read folded as well.
fn match_one(c: &mut Criterion) {
    for (name, id) in [("route/one", "3f2504e0"), ("route/one_folded", "3F2504E0")] {
        let mut group = c.benchmark_group(name);
        for size in SIZES {
            let table = table(size);
            let raw = format!("/v1/resource-6/{id}/items/7");
            let path = CanonicalPath::parse(&raw).expect("canonical");
            let upstreams = routes::upstreams();
            group.bench_function(BenchmarkId::from_parameter(size), |b| {
                b.iter(|| table.find(&Method::GET, "api.example", black_box(&path), &upstreams));
            });
        }
        group.finish();
    }
}

fn canonical_path(c: &mut Criterion) {
    let mut group = c.benchmark_group("path");
    for (name, raw) in [
        ("plain", "/v1/resource-6/3f2504e0-4f89-11d3-9a0c-0305e82c3301/items/7"),
        ("escaped", "/v1/resource-6/caf%C3%A9%20au%20lait/items/7"),
        ("refused", "/v1/resource-6/3f2504e0-4f89-11d3-9a0c-0305e82c3301/%2e%2e/7"),
    ] {
        group.bench_function(name, |b| b.iter(|| CanonicalPath::parse(black_box(raw)).is_ok()));
    }
    group.finish();
}

/// The bearer's client among 100,000.
fn registered_clients() -> Arc<Clients> {
    let one = |number: u32| {
        let scopes = Box::from([Box::from("users:read"), Box::from("orders:read"), Box::from("files:read")]);
        let (roles, tenants) = (Box::from([Box::from("clerk")]), Box::from([Box::from("t1"), Box::from("t2")]));
        let (version, generation, expires) = (7, 7, decisions::NOW.plus(1_000_000));
        let client = Registered { version, generation, is_revoked: false, expires, scopes, roles, tenants };
        (if number == 0 { "acme".into() } else { format!("c{number}").into() }, Arc::new(client))
    };
    let clients = (0..100_000).map(one).collect();
    let registry = Registry { clients, availability: Availability::Current, ..Registry::default() };
    Arc::new(Clients { registry: Some(registry), ..Clients::default() })
}

/// A whole decision: route, token, claims, scopes, roles, tenant.
fn decide(c: &mut Criterion) {
    let snapshot = decisions::snapshot();
    let target = "/v1/users/7/orders/8?page=2";
    let mut group = c.benchmark_group("decide");
    for (algorithm, key) in [("RS256", "rsa"), ("PS256", "rsa"), ("ES256", "p256"), ("EdDSA", "ed")] {
        let headers = decisions::headers(&decisions::token(algorithm, key));
        group.bench_function(BenchmarkId::new("new token", algorithm), |b| {
            b.iter(|| decisions::decide(&snapshot, &NoMemo, &headers, target));
        });
    }
    let memo = TokenMemo::new(1024 * 1024);
    let headers = decisions::headers(&decisions::token("RS256", "rsa"));
    group.bench_function("remembered token", |b| b.iter(|| decisions::decide(&snapshot, &memo, &headers, target)));
    let snapshots = [1, 2].map(|number| Snapshot { number, ..Snapshot::clone(&snapshot) });
    let mut turn = snapshots.iter().cycle();
    let registered = snapshot.with_clients(IssuerId(0), registered_clients());
    decisions::decide(&registered, &memo, &headers, target);
    group.bench_function("remembered token, 100,000 clients", |b| {
        b.iter(|| decisions::decide(&registered, &memo, &headers, target));
    });
    decisions::decide(&snapshot, &memo, &headers, target);
    group.bench_function("token remembered under another snapshot", |b| {
        b.iter(|| decisions::decide(turn.next().expect("endless"), &memo, &headers, target));
    });
    let none = HeaderMap::new();
    group.bench_function("no token", |b| b.iter(|| decisions::decide(&snapshot, &memo, &none, target)));
    group.bench_function("public", |b| b.iter(|| decisions::decide(&snapshot, &memo, &none, "/healthz")));
    group.finish();
}

/// What it costs to find out that no key has the name which a token gives.
fn unknown_key(c: &mut Criterion) {
    let mut group = c.benchmark_group("decide/unknown key");
    for size in [1, KEYS_MAX] {
        let keys: Vec<String> = (0..size).map(|n| format!("2026-11-22-signing-{n:04}")).collect();
        let keys: Vec<_> = keys.iter().map(|id| ("ed", id.as_str())).collect();
        let keyset = Keyset::parse(mint::jwks_as(&keys).as_bytes()).expect("a key set");
        let snapshot = decisions::snapshot().with_keys(IssuerId(0), Arc::new(keyset));
        let headers = decisions::headers(&decisions::token_named("ES256", "p256", "2026-11-22-signing-9999"));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| decisions::decide(&snapshot, &NoMemo, &headers, "/v1/users/7"));
        });
    }
    group.finish();
}

criterion_group!(benches, match_any, match_one, canonical_path, decide, unknown_key);
criterion_main!(benches);
