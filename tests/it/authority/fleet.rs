//! Gateways that share a database, and what they do without it.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::fixture::{App, Authority, ME, bearer, config, directory, json, until};
use crate::harness::PATIENCE;
use crate::harness::gateway::Gateway;
use crate::harness::postgres::{PASSWORD, PostgresServer};

/// How soon a revocation is known everywhere, half of the time.
const SOON: Duration = Duration::from_millis(200);

const READS: [&str; 2] = ["--scope", "users:read"];

/// The directory of a gateway that uses the database at this port.
fn member(port: u16, section: &str) -> TempDir {
    let storage = format!("'postgres://sidegate@127.0.0.1:{port}/postgres?sslmode=disable'");
    let section =
        format!("  storage: {storage}\n  storage_password_file: ./password\n  key_encryption_file: ./kek\n{section}");
    let place = directory(&config(&section, ""));
    fs::write(place.path().join("password"), PASSWORD).unwrap();
    fs::write(place.path().join("kek"), [7; 32]).unwrap();
    place
}

fn start(server: &PostgresServer, section: &str) -> Authority {
    Authority { gateway: Gateway::start_in(member(server.port(), section)) }
}

/// Asks for a page of the admin listener again and again until it is as `wanted`.
fn page(authority: &Authority, path: &str, wanted: impl Fn(&(u16, String)) -> bool) -> String {
    let begun = Instant::now();
    loop {
        let found = authority.gateway.admin_get(path);
        if wanted(&found) {
            return found.1;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {found:?}");
    }
}

/// For how long the registry may have missed changes, in seconds.
fn age(metrics: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with("sidegate_registry_age_seconds{issuer=\"authority\"}"));
    line.unwrap_or_else(|| panic!("no age: {metrics}")).rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[test]
fn what_is_revoked_at_one_gateway_is_refused_at_all() {
    let server = PostgresServer::start();
    let (one, other) = (start(&server, ""), start(&server, ""));
    let apps: Vec<App> = (0..7).map(|number| one.create(&format!("app-{number}"), &READS)).collect();
    let mut client = other.gateway.connect();
    let mut took: Vec<Duration> = Vec::new();
    for app in &apps {
        let call = bearer(ME, &one.token(app), "");
        until(&mut client, 200, &call);
        one.client(&["revoke", &app.id]);
        let revoked_at = Instant::now();
        let refusal = until(&mut client, 401, &call);
        took.push(revoked_at.elapsed());
        assert_eq!(other.reason(&refusal), "client_revoked");
    }
    took.sort();
    assert!(took[took.len() / 2] < SOON, "{took:?}");
    println!("a revocation was known at the other gateway after {took:?}");

    one.client(&["restore", "app-0"]);
    let tokens = [one.token(&apps[0]), other.token(&apps[0])];
    for token in &tokens {
        until(&mut client, 200, &bearer(ME, token, ""));
    }
    one.post("/oauth2/revoke", "", &format!("{}&token={}", apps[0].form(), tokens[1]));
    other.is_refused(&tokens[1], "token_revoked");
    assert_eq!(
        (other.call(ME, &tokens[0]).status, other.introspect(&apps[0], &tokens[0])["active"] == true),
        (200, true)
    );
}

#[test]
fn without_the_database_what_is_known_serves_for_a_while() {
    let mut server = PostgresServer::start();
    let (patient, strict) = (start(&server, ""), start(&server, "  max_stale: 1s\n"));
    let [app, other] = ["acme", "other"].map(|id| patient.create(id, &READS));
    let [token, kept] = [&app, &other].map(|app| patient.token(app));
    strict.until(200, ME, &token);

    server.kill();
    let refusal = strict.until(503, ME, &token);
    assert_eq!((refusal.code().as_str(), &*strict.reason(&refusal)), ("UNAVAILABLE", "registry_unavailable"));
    assert!(refusal.fields.one("retry-after").is_some(), "{refusal:?}");
    assert_eq!(patient.call(ME, &token).status, 200);
    let degraded = page(&patient, "/readyz", |(status, body)| *status == 200 && body.contains("degraded"));
    assert!(degraded.contains("client registry of authority"), "{degraded}");
    assert_eq!(patient.gateway.ask("GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    let refusal = patient.ask_token(&app, "");
    assert_eq!((refusal.status, json(&refusal)["error"] == "temporarily_unavailable"), (503, true), "{refusal:?}");
    let before = age(&patient.gateway.admin_get("/metrics").1);
    assert!(age(&page(&patient, "/metrics", |(_, metrics)| age(metrics) > before)) > 0.5, "{before}");

    server.restart();
    patient.client(&["revoke", "acme"]);
    for gateway in [&patient, &strict] {
        gateway.is_refused(&token, "client_revoked");
        gateway.until(200, ME, &kept);
        page(gateway, "/readyz", |(_, body)| body.contains("\"ready\""));
        assert!(age(&gateway.gateway.admin_get("/metrics").1) < 0.5);
    }
    assert_eq!(patient.ask_token(&other, "").status, 200);
}

#[test]
fn a_file_that_is_replaced_under_a_gateway_is_followed() {
    let authority = Authority::start("", "");
    let [app, other] = ["acme", "other"].map(|id| authority.create(id, &READS));
    let [token, kept] = [&app, &other].map(|app| authority.token(app));
    authority.until(200, ME, &token);
    let [file, wal, shm, backup] = ["sidegate.db", "sidegate.db-wal", "sidegate.db-shm", "backup.db"]
        .map(|name| authority.gateway.directory().join(name));
    let database = rusqlite::Connection::open(&file).unwrap();
    database.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    drop(database);
    for file in [&file, &wal, &shm] {
        fs::remove_file(file).unwrap();
    }
    let degraded = page(&authority, "/readyz", |(status, body)| *status == 200 && body.contains("degraded"));
    assert!(degraded.contains("client registry of authority"), "{degraded}");
    let refusal = authority.ask_token(&app, "");
    assert_eq!((refusal.status, json(&refusal)["error"] == "temporarily_unavailable"), (503, true), "{refusal:?}");
    assert_eq!(authority.call(ME, &token).status, 200);

    fs::rename(&backup, &file).unwrap();
    authority.client(&["revoke", "acme"]);
    authority.is_refused(&token, "client_revoked");
    page(&authority, "/readyz", |(_, body)| body.contains("\"ready\""));
    assert_eq!((authority.call(ME, &kept).status, authority.ask_token(&app, "").status), (200, 401));
    assert_eq!(authority.ask_token(&other, "").status, 200);
}

#[test]
fn a_gateway_that_starts_without_its_database_waits_for_it() {
    let mut server = PostgresServer::start();
    server.kill();
    let authority = Authority { gateway: Gateway::launch_in(member(server.port(), "")) };
    authority.gateway.log_event(|event| event["message"] == "the authority cannot start");
    let (status, cause) = authority.gateway.admin_get("/readyz");
    assert!(status == 503 && cause.contains("authority"), "{status} {cause}");
    let nobody = App { id: "acme".to_owned(), secret: "sgs_wrong".to_owned() };
    let refusal = authority.ask_token(&nobody, "");
    assert_eq!((refusal.status, refusal.fields.one("cache-control")), (503, Some("no-store")), "{refusal:?}");
    server.restart();
    page(&authority, "/readyz", |(status, _)| *status == 200);
    let app = authority.create("acme", &READS);
    assert_eq!(authority.call(ME, &authority.token(&app)).status, 200);
}

#[test]
fn nobody_waits_for_a_database_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let authority = Authority { gateway: Gateway::launch_in(member(port, "")) };
    let (mut connection, _) = silent.accept().unwrap();
    let nobody = App { id: "acme".to_owned(), secret: "sgs_wrong".to_owned() };
    let asked_at = Instant::now();
    assert_eq!(authority.ask_token(&nobody, "").status, 503);
    assert!(asked_at.elapsed() < Duration::from_secs(1), "{:?}", asked_at.elapsed());
    // It is still being waited for.
    assert_eq!(std::io::Read::read(&mut connection, &mut [0; 8]).unwrap(), 8);
}
