//! Who waits for keys, and who does not.

use std::fs;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::issuer::{ISS, Issuer, Manner, expired, token};
use super::{config_for, directory};
use crate::harness::PATIENCE;
use crate::harness::backend::{OK, RawBackend};
use crate::harness::gateway::Gateway;
use crate::harness::sync::Gate;
use crate::support::mint::jwks;

/// A gateway with one worker, in front of a backend, that has the keys of an issuer.
fn start(issuer: &Issuer, backend: &RawBackend) -> Gateway {
    let gateway = Gateway::start(&format!(
        "workers: 1
limits: {{drain_delay: 0s}}
issuers: [{{name: partner, issuer: '{ISS}', audiences: [https://api.example], keys: {{jwks_uri: '{}/keys'}}}}]
upstreams: {{raw: {{urls: ['{}']}}}}
identity: {{headers: {{X-Client-Id: client_id}}}}
routes:
  - {{match: GET /users, authenticated: true, upstream: raw}}
  - {{match: GET /shadow, authenticated: true, mode: shadow, upstream: raw}}
  - {{match: GET /public, public: true, upstream: raw}}
",
        issuer.url(),
        backend.url()
    ));
    assert_eq!(issuer.next(), "/keys");
    gateway
}

/// The issuer has these keys now, and tells them only once the gate is opened.
fn hold(issuer: &Issuer, keys: &[&str]) -> Gate {
    let gate = Gate::default();
    issuer.behave(Manner::Held(gate.clone(), jwks(keys)));
    gate
}

fn get(path: &str, token: &str, id: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn entry(gateway: &Gateway, id: &str) -> Value {
    gateway.access_log_entry(|entry| entry["request_id"] == id)
}

#[test]
fn a_worker_goes_on_while_some_of_its_requests_wait() {
    let (issuer, backend) = (Issuer::serving(&["ed"]), RawBackend::fixed(OK));
    let gateway = start(&issuer, &backend);
    let (old, new) = (token("ed"), token("p256"));
    assert_eq!(gateway.ask(get("/users", &old, "before")).status, 200);

    let gate = hold(&issuer, &["ed", "p256"]);
    let mut waiting: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(get("/users", &new, &format!("waiting-{number}")));
    }
    assert_eq!(issuer.next(), "/keys");
    assert_eq!(gateway.ask(get("/users", &old, "meanwhile")).status, 200);
    assert_eq!(gateway.ask(get("/public", "x", "public")).status, 200);
    assert_eq!(gateway.ask(get("/users", &expired("p256"), "expired")).status, 401);
    gate.open();
    for client in &mut waiting {
        assert_eq!(client.receive().status, 200);
    }
    assert_eq!(gateway.ask(get("/users", &old, "after")).status, 200);
    assert_eq!(issuer.asked(), Vec::<String>::new(), "all have waited for one fetch");

    let waited = entry(&gateway, "waiting-2");
    assert_eq!((&waited["route"], &waited["client_id"]), (&json!("GET /users"), &json!("acme")));
    assert_eq!(entry(&gateway, "expired")["reason"], "token_key_unknown");
    // What is in the log is counted.
    entry(&gateway, "after");
    let (_, metrics) = gateway.admin_get("/metrics");
    for (result, count) in [("hit", 3), ("revalidated", 1), ("miss", 2)] {
        let line = format!("sidegate_token_cache_total{{result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
}

#[test]
fn a_client_that_goes_away_waits_no_longer() {
    let (issuer, backend) = (Issuer::serving(&["ed"]), RawBackend::fixed(OK));
    let gateway = start(&issuer, &backend);
    let gate = hold(&issuer, &["ed"]);
    let mut client = gateway.connect();
    client.send(get("/users", &token("p256"), "gone"));
    assert_eq!(issuer.next(), "/keys");
    drop(client);
    assert_eq!(entry(&gateway, "gone")["status"], 499);
    assert!(!gateway.admin_get("/metrics").1.contains("sidegate_decisions_total{"), "nothing was decided");
    gate.open();
    assert_eq!(gateway.ask(get("/users", &token("ed"), "after")).status, 200);
}

#[test]
fn shadow_mode_waits_for_no_key_and_has_it_fetched() {
    let (issuer, backend) = (Issuer::serving(&["ed"]), RawBackend::fixed(OK));
    let gateway = start(&issuer, &backend);
    let gate = hold(&issuer, &["ed", "p256"]);
    assert_eq!(gateway.ask(get("/shadow", &token("p256"), "first")).status, 200);
    let first = entry(&gateway, "first");
    assert_eq!((&first["reason"], &first["mode"]), (&json!("token_key_unknown"), &json!("shadow")));
    assert_eq!(backend.next().head.fields.one("x-client-id"), None);
    assert_eq!(issuer.next(), "/keys");
    gate.open();
    // This one waits for that fetch, so that the key is there for the next.
    assert_eq!(gateway.ask(get("/users", &token("p256"), "second")).status, 200);
    assert_eq!(gateway.ask(get("/shadow", &token("p256"), "third")).status, 200);
    assert_eq!(entry(&gateway, "third")["reason"], Value::Null);
    assert_eq!(issuer.asked(), Vec::<String>::new());
}

/// What `sidegate explain` makes of a request with this token: its exit code and what it says.
fn explained(directory: &TempDir, token: &str) -> (i32, String) {
    let mut explain = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    explain.current_dir(directory.path()).args(["explain", "-c", "config.yaml", "GET", "/", "--token", token]);
    let output = explain.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn offline_the_last_good_keys_are_what_is_known() {
    let issuer = Issuer::serving(&["ed"]);
    let config = config_for(&issuer, "");
    let (offline, gateway) = (directory(&config), super::start(&config));

    let (code, said) = explained(&offline, &token("ed"));
    assert!(code == 2 && said.contains("issuer partner") && said.contains("`state_dir`"), "{code}: {said}");
    // They are in force before they are on the disk: its slowness is nobody's business.
    let (state, given_up) = (gateway.directory().join("state"), Instant::now() + PATIENCE);
    let is_written = |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "json");
    while !fs::read_dir(&state).is_ok_and(|entries| entries.flatten().any(is_written)) {
        assert!(Instant::now() < given_up, "the keys are not on the disk");
        std::thread::yield_now();
    }
    fs::rename(state, offline.path().join("state")).unwrap();
    let (code, said) = explained(&offline, &token("ed"));
    assert!(code == 0 && said.contains("signed by issuer partner"), "{code}: {said}");
    assert_eq!(explained(&offline, &expired("ed")).0, 1);
    let (code, said) = explained(&offline, &token("p256"));
    assert!(code == 2 && said.contains("do not have it"), "{code}: {said}");
    assert_eq!(explained(&offline, "opaque").0, 1);
}
