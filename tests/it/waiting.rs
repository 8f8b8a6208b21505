//! Requests that wait for an issuer's keys: which do, which do not, and what becomes of them.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::gateway::Gateway;
use crate::harness::sync::Gate;
use crate::support::mint::{self, jwks, key};

/// An issuer's key set, which a test can change and hold back.
struct Issuer {
    server: RawBackend,
    keys: Arc<Mutex<String>>,
    /// Whoever asks for the keys waits here, if there is one.
    gate: Arc<Mutex<Option<Gate>>>,
}

impl Issuer {
    fn with(keys: &[&str]) -> Self {
        let (keys, gate) = (Arc::new(Mutex::new(jwks(keys))), Arc::new(Mutex::<Option<Gate>>::default()));
        let (served, held) = (Arc::clone(&keys), Arc::clone(&gate));
        let server = RawBackend::start(move |exchange| {
            let gate = held.lock().unwrap().clone();
            if let Some(gate) = gate {
                gate.pass();
            }
            let body = served.lock().unwrap().clone();
            exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))?;
            Ok(Then::Close)
        });
        Self { server, keys, gate }
    }

    fn publish(&self, keys: &[&str]) {
        *self.keys.lock().unwrap() = jwks(keys);
    }

    /// Holds fetches back until the gate is opened.
    fn hold(&self) -> Gate {
        let gate = Gate::default();
        *self.gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    /// A gateway that takes its tokens, once it has its keys.
    fn gateway(&self, backend: &RawBackend) -> Gateway {
        let gateway = Gateway::start(&self.config(backend));
        assert_eq!(self.server.next().request(), "GET /jwks");
        gateway
    }

    fn config(&self, backend: &RawBackend) -> String {
        format!(
            "workers: 1
state_dir: ./state
limits: {{drain_delay: 0s}}
issuers:
  - name: partner
    issuer: https://issuer.example
    audiences: [https://api.example]
    keys: {{jwks_uri: '{}/jwks'}}
upstreams: {{raw: {{urls: ['{}']}}}}
identity: {{headers: {{X-Client-Id: client_id}}}}
routes:
  - {{match: GET /users, scopes: ['users:read'], upstream: raw}}
  - {{match: GET /shadow, scopes: ['users:read'], mode: shadow, upstream: raw}}
  - {{match: GET /public, public: true, upstream: raw}}
",
            self.server.url(),
            backend.url()
        )
    }
}

fn token_that(signer: &str, expires_in: i64) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let header = json!({ "alg": key(signer).algorithm(), "kid": signer, "typ": "at+jwt" });
    let claims = json!({
        "iss": "https://issuer.example", "aud": "https://api.example", "sub": "acme", "client_id": "acme",
        "exp": now + expires_in, "scope": "users:read",
    });
    mint::mint(&header, &claims, key(signer))
}

fn token(signer: &str) -> String {
    token_that(signer, 3600)
}

fn get(path: &str, token: &str, id: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: {id}\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn entry(gateway: &Gateway, id: &str) -> Value {
    gateway.access_log_entry(|entry| entry["request_id"] == id)
}

#[test]
fn a_token_of_a_new_key_waits_for_it_and_nobody_else_does() {
    let (issuer, backend) = (Issuer::with(&["ed"]), RawBackend::fixed(OK));
    let gateway = issuer.gateway(&backend);
    assert_eq!(gateway.ask(get("/users", &token("ed"), "before")).status, 200);

    issuer.publish(&["ed", "p256"]);
    let gate = issuer.hold();
    let mut waiting: Vec<_> = (0..3).map(|_| gateway.connect()).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        client.send(get("/users", &token("p256"), &format!("waiting-{number}")));
    }
    assert_eq!(issuer.server.next().request(), "GET /jwks");
    // One worker serves all of them.
    assert_eq!(gateway.ask(get("/users", &token("ed"), "meanwhile")).status, 200);
    assert_eq!(gateway.ask(get("/public", "x", "public")).status, 200);
    assert_eq!(gateway.ask(get("/users", &token_that("p256", -60), "expired")).status, 401);
    gate.open();
    for client in &mut waiting {
        assert_eq!(client.receive().status, 200);
    }
    assert_eq!(gateway.ask(get("/users", &token("ed"), "after")).status, 200);
    assert_eq!(issuer.server.so_far().len(), 0, "all have waited for one fetch");

    let (_, metrics) = gateway.admin_get("/metrics");
    for (result, count) in [("hit", 1), ("revalidated", 1), ("miss", 2)] {
        let line = format!("sidegate_token_cache_total{{result=\"{result}\"}} {count}");
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
    let waited = entry(&gateway, "waiting-2");
    assert_eq!(
        (&waited["route"], &waited["client_id"], &waited["issuer"]),
        (&json!("GET /users"), &json!("acme"), &json!("partner"))
    );
    assert_eq!(entry(&gateway, "expired")["reason"], "token_key_unknown");
}

#[test]
fn a_key_that_is_gone_opens_nothing_any_more() {
    let (issuer, backend) = (Issuer::with(&["ed"]), RawBackend::fixed(OK));
    let gateway = issuer.gateway(&backend);
    let ask = |signer: &str| gateway.ask(get("/users", &token(signer), signer)).status;
    assert_eq!((ask("ed"), ask("ed")), (200, 200));
    issuer.publish(&["p256"]);
    assert_eq!(ask("p256"), 200);
    // That was the fetch; who comes with an unknown key now is told so at once.
    assert_eq!((ask("ed"), ask("rsa"), ask("p256")), (401, 401, 200));
    assert_eq!(issuer.server.so_far().len(), 1);
}

#[test]
fn a_client_that_goes_away_waits_no_longer() {
    let (issuer, backend) = (Issuer::with(&["ed"]), RawBackend::fixed(OK));
    let gateway = issuer.gateway(&backend);
    let gate = issuer.hold();
    let mut client = gateway.connect();
    client.send(get("/users", &token("p256"), "gone"));
    assert_eq!(issuer.server.next().request(), "GET /jwks");
    drop(client);
    assert_eq!(entry(&gateway, "gone")["status"], 499);
    gate.open();
    assert_eq!(gateway.ask(get("/users", &token("ed"), "after")).status, 200);
}

#[test]
fn shadow_mode_waits_for_no_key_and_has_it_fetched() {
    let (issuer, backend) = (Issuer::with(&["ed"]), RawBackend::fixed(OK));
    let gateway = issuer.gateway(&backend);
    issuer.publish(&["ed", "p256"]);
    let gate = issuer.hold();
    assert_eq!(gateway.ask(get("/shadow", &token("p256"), "first")).status, 200);
    let first = entry(&gateway, "first");
    assert_eq!((&first["reason"], &first["mode"]), (&json!("token_key_unknown"), &json!("shadow")));
    assert_eq!(backend.next().head.fields.one("x-client-id"), None);
    assert_eq!(issuer.server.next().request(), "GET /jwks");
    gate.open();
    // This one waits, so that the key is there for the next.
    assert_eq!(gateway.ask(get("/users", &token("p256"), "second")).status, 200);
    assert_eq!(gateway.ask(get("/shadow", &token("p256"), "third")).status, 200);
    assert_eq!(entry(&gateway, "third")["reason"], Value::Null);
    assert_eq!(issuer.server.so_far().len(), 0);
}

/// What `sidegate explain` makes of a request with this token: its exit code and what it says.
fn explained(directory: &TempDir, token: &str) -> (i32, String) {
    let mut explain = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    explain.current_dir(directory.path()).args(["explain", "-c", "config.yaml", "GET", "/users", "--token", token]);
    let output = explain.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(said).unwrap())
}

#[test]
fn offline_the_last_good_keys_are_what_is_known() {
    let (issuer, backend) = (Issuer::with(&["ed"]), RawBackend::fixed(OK));
    let gateway = issuer.gateway(&backend);
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("config.yaml"),
        format!("listeners: [{{address: 127.0.0.1:0}}]\n{}", issuer.config(&backend)),
    )
    .unwrap();

    let (code, said) = explained(&directory, &token("ed"));
    assert!(code == 2 && said.contains("issuer partner") && said.contains("`state_dir`"), "{code}: {said}");
    fs::rename(gateway.directory().join("state"), directory.path().join("state")).unwrap();
    let (code, said) = explained(&directory, &token("ed"));
    assert!(code == 0 && said.contains("signed by issuer partner"), "{code}: {said}");
    assert_eq!(explained(&directory, &token_that("ed", -60)).0, 1);
    let (code, said) = explained(&directory, &token("p256"));
    assert!(code == 2 && said.contains("do not have it"), "{code}: {said}");
    assert_eq!(explained(&directory, "opaque").0, 1);
}
