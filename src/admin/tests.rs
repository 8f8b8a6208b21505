//! The endpoints, as a probe, Prometheus and an operator ask for them.

use std::net::Ipv4Addr;
use std::time::Duration;

use http::header::{self, AsHeaderName, HOST};

use super::*;
use crate::config::{Endpoint as Address, HostHeader, HttpUpstream, KeySource, Limits, Scheme, Upstream, UpstreamKind};
use crate::core::snapshot::{ErrorFormat, PathReading};
use crate::fronts::fixture::snapshot;
use crate::live::keys::KeyState;
use crate::upstream::Health;

fn state(admin_address: &str) -> AdminState {
    let loaded = Loaded { config_hash: "abc".into(), at_ms: 1_795_305_600_042 };
    let upstreams = vec![upstream()];
    let generation = Generation {
        snapshot: Arc::new(snapshot(ErrorFormat::Envelope)),
        health: Health::new(&upstreams),
        upstreams: upstreams.into(),
        limits: Arc::new(Limits::default()),
        listeners_tls: [].into(),
        authz: Arc::default(),
        key_origins: [KeyOrigin { source: KeySource::File, state: Arc::new(KeyState::of_file(clock::timer())) }].into(),
        mirrors: [].into(),
        authority: None,
        state_dir: None,
    };
    AdminState {
        live: Arc::new(Live::new(generation)),
        loaded: ArcSwap::from_pointee(loaded),
        last_reload_error: ArcSwapOption::empty(),
        readiness: Readiness::default(),
        registries: RegistryStates::default(),
        store: Arc::default(),
        metrics: Metrics::new().unwrap(),
        workers: 2,
        started: clock::monotonic(),
        admin_address: Some(admin_address.parse().unwrap()),
    }
}

fn upstream() -> Upstream {
    let http = HttpUpstream {
        endpoints: vec![Address { scheme: Scheme::Http, host: "10.0.0.1".into(), port: 80 }],
        connect_timeout: Duration::from_secs(2),
        timeout: Duration::from_secs(30),
        host: HostHeader::Preserve,
        health_check: None,
        tls: None,
    };
    Upstream { name: "users".into(), kind: UpstreamKind::Http(http), paths: PathReading::Folding }
}

fn ask(state: &AdminState, surface: Surface, method: Method, target: &str, host: &'static str) -> Response<Bytes> {
    let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]);
    let peer = Ipv4Addr::LOCALHOST.into();
    match answer(state, &Call { method: &method, target, headers: &headers, peer, request_id: "req-1", surface }) {
        Reply::Answer(response) => response,
        Reply::Reload => Response::new(Bytes::from_static(b"a reload")),
        Reply::Api => Response::new(Bytes::from_static(b"the API")),
    }
}

fn get(state: &AdminState, target: &str) -> Response<Bytes> {
    ask(state, Surface::Admin, Method::GET, target, "localhost:9901")
}

fn field(response: &Response<Bytes>, name: impl AsHeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[test]
fn ready_from_the_first_listener_to_the_drain() {
    let state = state("127.0.0.1:9901");
    let readyz = || {
        let response = get(&state, "/readyz");
        (response.status().as_u16(), body(&response))
    };
    let starting = "starting: not every listener is bound yet";
    assert_eq!(readyz(), (503, json!({"status": "unready", "cause": starting})));
    assert_eq!(get(&state, "/healthz").status(), 200);
    state.readiness.advance(Phase::AwaitingKeys);
    assert_eq!(readyz(), (503, json!({"status": "unready", "cause": "starting: no keys of partner"})));
    state.readiness.advance(Phase::Ready);
    assert_eq!(readyz(), (200, json!({"status": "degraded", "cause": "no keys of partner"})));
    state.readiness.advance(Phase::Draining);
    assert_eq!(readyz().0, 503);
    assert_eq!(get(&state, "/healthz").status(), 200);
}

#[test]
fn metrics_are_prometheus_text() {
    let state = state("127.0.0.1:9901");
    let response = get(&state, "/metrics");
    assert_eq!(field(&response, header::CONTENT_TYPE), "text/plain; version=0.0.4");
    let text = std::str::from_utf8(response.body()).unwrap();
    assert!(text.contains("sidegate_keys_age_seconds{issuer=\"partner\"} "), "{text}");
    assert!(text.contains("sidegate_build_info{version="), "{text}");
}

#[test]
fn status_tells_what_runs() {
    let state = state("127.0.0.1:9901");
    let response = get(&state, "/status?pretty");
    let status = body(&response);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["config"]["hash"], "abc");
    assert_eq!(status["config"]["loaded_at"], "2026-11-22T00:00:00.042Z");
    assert_eq!(status["config"]["last_reload_error"], Value::Null);
    assert_eq!(status["issuers"][0]["name"], "partner");
    assert_eq!(status["issuers"][0]["keys_age_seconds"], 0);
    let upstream = &status["upstreams"][0];
    assert_eq!((&upstream["name"], &upstream["endpoints"][0]["url"]), (&json!("users"), &json!("http://10.0.0.1")));
    assert_eq!(upstream["endpoints"][0]["healthy"], true);
    assert_eq!((&status["workers"], &status["ready"]), (&json!(2), &json!(false)));
    state.last_reload_error.store(Some(Arc::new("config.yaml:3:1: …".to_owned())));
    assert_eq!(body(&get(&state, "/status"))["config"]["last_reload_error"], "config.yaml:3:1: …");
}

#[test]
fn a_reload_is_asked_for_with_post_and_not_from_another_site() {
    let state = state("127.0.0.1:9901");
    let post = |surface| ask(&state, surface, Method::POST, "/reload", "127.0.0.1");
    assert_eq!(post(Surface::Admin).body(), "a reload");
    assert_eq!(post(Surface::Health).status(), 404);
    let read = get(&state, "/reload");
    assert_eq!((read.status().as_u16(), field(&read, header::ALLOW)), (405, "POST"));

    let mut headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1"))]);
    headers.insert(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
    let (method, peer) = (Method::POST, Ipv4Addr::LOCALHOST.into());
    let call =
        Call { method: &method, target: "/reload", headers: &headers, peer, request_id: "r", surface: Surface::Admin };
    let Reply::Answer(refused) = answer(&state, &call) else { panic!("a page of another site reloads") };
    assert_eq!((refused.status().as_u16(), &body(&refused)["error"]["code"]), (403, &json!("CROSS_SITE")));

    let failed = reloaded(&call, &Err("config.yaml:1:1: …".to_owned()));
    assert_eq!((failed.status().as_u16(), body(&failed)), (422, json!({"error": "config.yaml:1:1: …"})));
}

#[test]
fn answers_are_like_any_other() {
    let state = state("127.0.0.1:9901");
    let unknown = get(&state, "/nothing");
    assert_eq!((unknown.status().as_u16(), &body(&unknown)["error"]["code"]), (404, &json!("NOT_FOUND")));
    let posted = ask(&state, Surface::Admin, Method::POST, "/status", "127.0.0.1");
    assert_eq!((posted.status().as_u16(), field(&posted, header::ALLOW)), (405, "GET, HEAD"));
    let head = ask(&state, Surface::Admin, Method::HEAD, "/healthz", "127.0.0.1");
    assert_eq!((head.status().as_u16(), head.body().len(), field(&head, header::CONTENT_LENGTH)), (200, 0, "19"));
    for response in [&unknown, &posted, &head] {
        assert_eq!(field(response, &X_REQUEST_ID), "req-1");
        assert_eq!(field(response, header::CACHE_CONTROL), "no-store");
    }
}

#[test]
fn a_foreign_host_is_refused_on_the_admin_listener_only() {
    let state = state("127.0.0.1:9901");
    for target in ["/status", "/healthz", "/metrics", "/nothing"] {
        let response = ask(&state, Surface::Admin, Method::GET, target, "evil.example");
        assert_eq!((response.status().as_u16(), &body(&response)["error"]["code"]), (403, &json!("HOST_FORBIDDEN")));
    }
    let by_target = ask(&state, Surface::Admin, Method::GET, "http://evil.example/status", "localhost");
    assert_eq!(by_target.status(), 403);
    assert_eq!(ask(&state, Surface::Health, Method::GET, "/healthz", "sidegate.svc").status(), 200);
    assert_eq!(ask(&state, Surface::Health, Method::GET, "/metrics", "sidegate.svc").status(), 200);
}

#[test]
fn the_health_listener_has_no_status() {
    let state = state("127.0.0.1:9901");
    assert_eq!(ask(&state, Surface::Health, Method::GET, "/status", "127.0.0.1").status(), 404);
}

#[test]
fn off_loopback_all_but_health_needs_a_token() {
    let state = state("0.0.0.0:9901");
    for target in ["/status", "/metrics", "/nothing"] {
        let response = get(&state, target);
        assert_eq!(response.status(), 401, "{target}");
        assert!(field(&response, header::WWW_AUTHENTICATE).starts_with("Bearer realm="), "{target}");
    }
    assert_eq!(get(&state, "/healthz").status(), 200);
    assert_eq!(get(&state, "/readyz").status(), 503);
    assert_eq!(ask(&state, Surface::Health, Method::GET, "/metrics", "10.0.0.1").status(), 200);
}
