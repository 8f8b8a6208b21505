//! Changing the configuration of a running gateway: what brings it about, what it changes, and what it must not disturb.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::client::Client;
use crate::harness::gateway::{Gateway, complete};
use crate::harness::response::Response;
use crate::harness::sync::Gate;
use crate::harness::tokens;
use crate::support::mint;

/// `Host` of a usual request to the admin listener.
const LOCAL: &str = "Host: 127.0.0.1\r\n";

/// A configuration with one backend and these routes to it, in flow style and without `upstream`.
fn config(backend: &RawBackend, routes: &[&str]) -> String {
    let routes: Vec<String> = routes.iter().map(|route| format!("  - {{{route}, upstream: raw}}\n")).collect();
    format!(
        "workers: 1\nlimits: {{drain_delay: 0s}}\nupstreams: {{raw: {{urls: [{}]}}}}\nroutes:\n{}",
        backend.url(),
        routes.concat()
    )
}

const OLD: &str = "match: /old, public: true";
const NEW: &str = "match: /new, public: true";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn get_with(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn status_of(gateway: &Gateway, path: &str) -> u16 {
    gateway.ask(get(path)).status
}

/// Reloads, and it has to succeed.
fn reload(gateway: &Gateway) {
    let response = gateway.reload(LOCAL);
    assert_eq!((response.status, &json_of(&response)["status"]), (200, &json!("reloaded")), "{response:?}");
}

/// Reloads, and it has to fail. The diagnostics.
fn reload_error(gateway: &Gateway) -> String {
    let response = gateway.reload(LOCAL);
    assert_eq!(response.status, 422, "{response:?}");
    json_of(&response)["error"].as_str().expect("the diagnostics as text").to_owned()
}

fn json_of(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {response:?}"))
}

/// Waits for a reload that nobody waits for otherwise.
fn await_reload(gateway: &Gateway) -> Value {
    gateway.log_event(|event| event["message"] == "reloaded")
}

fn await_failed_reload(gateway: &Gateway) -> Value {
    gateway.log_event(|event| event["message"] == "reload failed")
}

fn status_document(gateway: &Gateway) -> Value {
    let (status, body) = gateway.admin_get("/status");
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

fn reloads(gateway: &Gateway, result: &str) -> u64 {
    let (_, metrics) = gateway.admin_get("/metrics");
    let name = format!("sidegate_config_reload_total{{result=\"{result}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[test]
fn a_signal_reloads() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    let before = status_document(&gateway);
    gateway.configure(&config(&backend, &[NEW]));
    gateway.hang_up();
    let event = await_reload(&gateway);
    assert!(event["snapshot"].as_u64() > before["config"]["snapshot"].as_u64(), "{event}");
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (404, 200));
    let after = status_document(&gateway);
    assert_ne!(before["config"]["hash"], after["config"]["hash"]);
    assert_eq!(after["routes"][0]["match"], "/new");
    assert!(reloads(&gateway, "success") >= 2, "the start is the first");
}

#[test]
fn a_request_to_the_admin_listener_reloads() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    gateway.configure(&config(&backend, &[NEW]));
    reload(&gateway);
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (404, 200));
    assert_eq!(gateway.admin_get("/reload").0, 405, "reading changes nothing");
}

#[test]
fn connections_of_clients_outlive_a_reload() {
    let backend = RawBackend::fixed(OK);
    let read = tokens::mint(&["--scope", "users:read"]);
    let gateway = Gateway::start(&config(&backend, &["match: /users, scopes: ['users:read']", OLD]));
    let mut client = gateway.connect();
    let mut ask = |request: String| {
        client.send(request);
        client.receive().status
    };
    assert_eq!((ask(get_with("/users", &read)), ask(get("/old"))), (200, 200));
    gateway.configure(&config(&backend, &["match: /users, scopes: ['users:write']"]));
    reload(&gateway);
    assert_eq!((ask(get_with("/users", &read)), ask(get("/old"))), (403, 404));
}

#[test]
fn a_bad_file_changes_nothing_and_is_shown_everywhere() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    let before = status_document(&gateway);
    assert_eq!(before["config"]["last_reload_error"], Value::Null);
    let text = gateway.configure(&config(&backend, &[NEW, "match: /odd, publik: true"]));
    let (line, column) =
        text.lines().zip(1..).find_map(|(line, number)| Some((number, line.find("publik")? + 1))).unwrap();
    let place = format!("config.yaml:{line}:{column}");

    let shown = reload_error(&gateway);
    assert!(shown.contains(&place), "{place} is not in {shown}");
    let event = await_failed_reload(&gateway);
    assert!(event["error"].as_str().unwrap().contains(&place), "{place} is not in {event}");
    let after = status_document(&gateway);
    let error = after["config"]["last_reload_error"].as_str().expect("an error in /status");
    assert!(error.contains(&place), "{place} is not in {error}");
    assert!(reloads(&gateway, "failure") >= 1);
    assert_eq!(after["config"]["hash"], before["config"]["hash"]);
    assert_eq!(after["config"]["snapshot"], before["config"]["snapshot"]);
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (200, 404));

    gateway.configure(&config(&backend, &[NEW]));
    reload(&gateway);
    assert_eq!(status_document(&gateway)["config"]["last_reload_error"], Value::Null);
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (404, 200));
}

#[test]
fn what_needs_a_restart_is_refused_by_name() {
    let backend = RawBackend::fixed(OK);
    let fixed = "listeners: [{address: 127.0.0.1:0}]\nadmin: {address: 127.0.0.1:0}\nhealth: {address: 127.0.0.1:0}
telemetry: {access_log: stdout}\n";
    let with = |route: &str| format!("{fixed}{}", config(&backend, &[route]));
    let gateway = Gateway::start(&with(OLD));
    let names = ["listeners", "admin", "health", "workers", "telemetry"];
    for (name, from, to) in [
        ("listeners", "listeners: [{address: 127.0.0.1:0}]", "listeners: [{address: 127.0.0.1:1}]"),
        ("listeners", "listeners: [", "listeners: [{address: 127.0.0.1:1}, "),
        ("admin", "admin: {address: 127.0.0.1:0}", "admin: {address: 127.0.0.1:1}"),
        ("health", "health: {address: 127.0.0.1:0}\n", ""),
        ("health", "health: {address: 127.0.0.1:0}", "health: {address: 127.0.0.1:1}"),
        ("workers", "workers: 1", "workers: 2"),
        ("telemetry", "access_log: stdout", "access_log: none"),
    ] {
        let changed = with(NEW).replacen(from, to, 1);
        assert_ne!(changed, with(NEW), "{name}");
        gateway.configure(&changed);
        let error = reload_error(&gateway);
        let named: Vec<&str> = names.into_iter().filter(|other| error.contains(other)).collect();
        assert_eq!(named, [name], "{error}");
        assert!(name != "listeners" || error.contains("127.0.0.1:1 added"), "{error}");
        let applied = (status_of(&gateway, "/old"), status_of(&gateway, "/new"));
        assert_eq!(applied, (200, 404), "half-applied: {to}");
    }
    gateway.configure(&with(NEW));
    reload(&gateway);
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (404, 200));
}

#[test]
fn listeners_in_another_order_need_no_restart() {
    let backend = RawBackend::fixed(OK);
    let with = |listeners: &str, route: &str| {
        let routes = config(&backend, &[route]);
        format!("listeners: [{listeners}]\nadmin: {{address: 127.0.0.1:0}}\n{routes}")
    };
    let gateway = Gateway::start(&with("{address: 127.0.0.1:0}, {address: 127.0.0.2:0}", OLD));
    gateway.configure(&with("{address: 127.0.0.2:0}, {address: 127.0.0.1:0}", NEW));
    reload(&gateway);
    for address in &gateway.proxies {
        let mut client = Client::connect(*address);
        client.send(get("/new"));
        assert_eq!(client.receive().status, 200, "{address}");
    }
}

#[test]
fn a_file_that_takes_the_place_of_the_configuration_is_noticed() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    gateway.configure(&config(&backend, &[NEW]));
    await_reload(&gateway);
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (404, 200));
}

#[test]
fn a_configuration_that_is_written_in_place_is_noticed_when_it_is_whole() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    let text = complete(&config(&backend, &[NEW, "match: /last, public: true"]));
    // What there is without the last route is a valid file as well.
    let (most, last) = text.split_at(text.find("  - {match: /last").unwrap());
    let mut file = File::create(gateway.directory().join("config.yaml")).unwrap();
    for piece in [most, last] {
        file.write_all(piece.as_bytes()).unwrap();
        file.sync_all().unwrap();
    }
    drop(file);
    await_reload(&gateway);
    let statuses = ["/old", "/new", "/last"].map(|path| status_of(&gateway, path));
    assert_eq!(statuses, [404, 200, 200]);
}

#[test]
fn a_kubernetes_volume_that_is_updated_is_noticed() {
    let backend = RawBackend::fixed(OK);
    let directory = tempfile::tempdir().unwrap();
    let write = |root: &Path, name: &str, routes: &[&str]| {
        fs::create_dir(root.join(name)).unwrap();
        fs::write(root.join(name).join("config.yaml"), complete(&config(&backend, routes))).unwrap();
        fs::copy(tokens::JWKS_FILE, root.join(name).join("jwks.json")).unwrap();
    };
    write(directory.path(), "..2026_11_21", &[OLD]);
    symlink("..2026_11_21", directory.path().join("..data")).unwrap();
    for name in ["config.yaml", "jwks.json"] {
        symlink(Path::new("..data").join(name), directory.path().join(name)).unwrap();
    }
    let gateway = Gateway::start_in(directory);

    let root = gateway.directory();
    write(root, "..2026_11_22", &[NEW]);
    symlink("..2026_11_22", root.join("..data_tmp")).unwrap();
    fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    fs::remove_dir_all(root.join("..2026_11_21")).unwrap();
    await_reload(&gateway);
    assert_eq!((status_of(&gateway, "/old"), status_of(&gateway, "/new")), (404, 200));
}

#[test]
fn a_key_that_is_taken_away_opens_nothing_any_more() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &["match: /users, scopes: ['users:read']"]));
    let (old, new) = (tokens::mint(&["--scope", "users:read"]), token_of_another_key());
    let ask = |token: &str| gateway.ask(get_with("/users", token)).status;
    // The second time its signature is remembered.
    assert_eq!((ask(&old), ask(&old), ask(&new)), (200, 200, 401));

    let keys = gateway.directory().join("jwks.json");
    fs::write(keys.with_extension("new"), mint::jwks(&["ed"])).unwrap();
    fs::rename(keys.with_extension("new"), &keys).unwrap();
    await_reload(&gateway);
    assert_eq!((ask(&old), ask(&new)), (401, 200));
}

/// A token like those of [`tokens::mint`], signed by a key that is not in the demo key set.
fn token_of_another_key() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({ "alg": "EdDSA", "kid": "ed", "typ": "at+jwt" });
    let claims = json!({
        "iss": "https://issuer.example", "aud": "https://api.example", "sub": "acme", "client_id": "acme", "jti": "1",
        "iat": now - 60, "exp": now + 3600, "scope": "users:read", "tenant_id": "t1",
    });
    mint::mint(&header, &claims, mint::key("ed"))
}

#[test]
fn broken_keys_change_nothing() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &["match: /users, scopes: ['users:read']"]));
    let token = tokens::mint(&["--scope", "users:read"]);
    fs::write(gateway.directory().join("jwks.json"), "{\"keys\": [").unwrap();
    let event = await_failed_reload(&gateway);
    assert!(event["error"].as_str().unwrap().contains("jwks.json"), "{event}");
    assert_eq!(gateway.ask(get_with("/users", &token)).status, 200);
}

#[test]
fn keys_that_come_after_the_configuration_that_names_them_are_noticed() {
    let backend = RawBackend::fixed(OK);
    let with_keys = |file: &str| {
        let issuer = "name: demo, issuer: https://issuer.example, audiences: [https://api.example]";
        let routes = config(&backend, &["match: /users, scopes: ['users:read']"]);
        format!("issuers: [{{{issuer}, keys: {{jwks_file: {file}}}}}]\n{routes}")
    };
    let gateway = Gateway::start(&with_keys("./jwks.json"));
    gateway.configure(&with_keys("./later.json"));
    assert!(reload_error(&gateway).contains("later.json"));
    fs::write(gateway.directory().join("later.json"), mint::jwks(&["ed"])).unwrap();
    await_reload(&gateway);
    assert_eq!(gateway.ask(get_with("/users", &token_of_another_key())).status, 200);
}

#[test]
fn a_request_ends_under_the_configuration_it_began_with() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = RawBackend::start(move |exchange| {
        held.pass();
        exchange.send(OK).map(|()| Then::KeepAlive)
    });
    let other = RawBackend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother");
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    let mut client = gateway.connect();
    client.send(get("/old"));
    backend.next();

    // Neither the route nor its backend is left.
    gateway.configure(&config(&other, &[NEW]));
    reload(&gateway);
    assert_eq!(gateway.ask(get("/new")).text(), "other");
    gate.open();
    let response = client.receive();
    assert_eq!((response.status, response.text()), (200, "ok".to_owned()));
    let entry = gateway.access_log_entry(|entry| entry["path"] == "/old");
    assert_eq!(entry["route"], "/old");
    client.send(get("/old"));
    assert_eq!(client.receive().status, 404);
}

#[test]
fn connections_to_a_backend_outlive_a_reload_that_leaves_it_alone() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    let mut connections = Vec::new();
    for routes in [&[OLD, NEW][..], &[OLD], &[NEW, OLD]] {
        assert_eq!(status_of(&gateway, "/old"), 200);
        connections.push(backend.next().connection);
        gateway.configure(&config(&backend, routes));
        reload(&gateway);
    }
    assert_eq!(connections, [0, 0, 0]);
}

#[test]
fn a_hundred_reloads_under_load_fail_no_request() {
    let backend = RawBackend::fixed(OK);
    let token = tokens::mint(&["--scope", "users:read"]);
    let users = "match: '/users/{id}', scopes: ['users:read']";
    let gateway = Gateway::start(&config(&backend, &[users]));
    let over = Arc::new(AtomicBool::new(false));
    let load = |mut client: Client| {
        let (over, request) = (Arc::clone(&over), get_with("/users/7", &token));
        thread::spawn(move || {
            let mut answered = 0_u32;
            while !over.load(Ordering::Relaxed) {
                client.send(&request);
                let response = client.receive();
                assert_eq!((response.status, response.closes()), (200, false), "{response:?}");
                answered += 1;
            }
            answered
        })
    };
    let clients: Vec<_> = (0..4).map(|_| load(gateway.connect())).collect();
    for round in 0..100 {
        let routes = [users, OLD];
        gateway.configure(&config(&backend, &routes[..1 + round % 2]));
        reload(&gateway);
        backend.so_far();
    }
    over.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.join().expect("no request fails") > 0);
    }
    assert!(reloads(&gateway, "success") >= 101);
    assert_eq!(reloads(&gateway, "failure"), 0);
}

#[test]
fn a_page_from_elsewhere_cannot_reload() {
    let backend = RawBackend::fixed(OK);
    let gateway = Gateway::start(&config(&backend, &[OLD]));
    let before = status_document(&gateway);
    for fields in [
        "Host: 127.0.0.1\r\nOrigin: https://evil.example\r\n",
        "Host: 127.0.0.1\r\nOrigin: null\r\n",
        "Host: 127.0.0.1\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: localhost\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: evil.example\r\n",
    ] {
        assert_eq!(gateway.reload(fields).status, 403, "{fields}");
    }
    assert_eq!(status_document(&gateway)["config"], before["config"]);
    reload(&gateway);
    assert_ne!(status_document(&gateway)["config"], before["config"], "the test can tell");
}
