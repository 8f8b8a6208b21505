//! What is PostgreSQL's own: reaching it, and not telling its password.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use sidegate::authority::store::{Store, StoreError};
use sidegate::config::authority::{Postgres, Secret, Storage};
use tempfile::TempDir;
use zeroize::Zeroizing;

use super::create;
use crate::harness::PATIENCE;
use crate::harness::certificates::Authority;
use crate::harness::postgres::{PASSWORD, PostgresServer};

async fn refusal(settings: Postgres) -> StoreError {
    let error = Store::open(&Storage::Postgres(settings)).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(PASSWORD));
    error
}

#[tokio::test]
async fn it_is_reached_by_a_unix_socket_too() {
    let server = PostgresServer::start();
    let by_socket = Store::open(&Storage::Postgres(server.socket_settings())).await.unwrap();
    create(&by_socket, "a").await;
    let by_tcp = Store::open(&Storage::Postgres(server.settings())).await.unwrap();
    assert_eq!(create(&by_tcp, "b").await, 2);
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_a_reason() {
    let mut server = PostgresServer::start();
    let settings = server.settings();
    let address = format!("127.0.0.1:{}", server.port());

    let error = refusal(server.settings_at(&address, "require")).await.to_string();
    assert_eq!(error, "the storage cannot be reached: error performing TLS handshake: server does not support TLS");

    let password = Some(Secret(Zeroizing::new(format!("not {PASSWORD}"))));
    let error = refusal(Postgres { password, ..settings.clone() }).await;
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    let expected = "the storage cannot be used: password authentication failed for user \"sidegate\" (SQLSTATE 28P01)";
    assert_eq!(error.to_string(), expected);

    let error = refusal(Postgres { url: "postgres://host/db?sslmode=verify".into(), password: None }).await;
    assert!(matches!(error, StoreError::Unusable(_)), "{error}");
    assert!(error.to_string().ends_with("expected postgres://USER@HOST/DATABASE"), "{error}");

    server.kill();
    let began = Instant::now();
    let error = refusal(settings).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    assert!(began.elapsed() < PATIENCE);
}

#[tokio::test]
async fn many_may_open_it_at_once() {
    let server = PostgresServer::start();
    let open: Vec<_> = (0..8)
        .map(|id| {
            let storage = Storage::Postgres(server.settings());
            tokio::spawn(async move { create(&Store::open(&storage).await.unwrap(), &id.to_string()).await })
        })
        .collect();
    let mut numbers = Vec::new();
    for one in open {
        numbers.push(one.await.unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
}

#[test]
fn its_certificate_is_verified() {
    let mut server = PostgresServer::start();
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    server.show(&authority.issue("127.0.0.1"));
    server.kill();
    server.restart();
    let ask = |sslmode: &str, authority: &Authority| {
        let url = server.settings_at(&format!("127.0.0.1:{}", server.port()), sslmode).url;
        let place = configured(&url);
        let roots = place.path().join("roots.pem");
        fs::write(&roots, &authority.pem).unwrap();
        listed(place.path(), &roots)
    };
    let opened = Ok("[]".to_owned());
    assert_eq!([ask("require", &authority), ask("prefer", &authority)], [opened.clone(), opened.clone()]);
    for sslmode in ["require", "prefer"] {
        let said = ask(sslmode, &other).unwrap_err();
        assert!(said.contains("error performing TLS handshake: invalid peer certificate"), "{said}");
    }
    assert_eq!(ask("disable", &other), opened);
}

/// A directory with the configuration of an authority that has this database.
fn configured(url: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let config = format!(
        "listeners: [{{address: 127.0.0.1:0}}]
authority:
  issuer: http://authority.test
  audience: https://api.example.com
  storage: '{url}'
  storage_password_file: ./password
  key_encryption_file: ./kek
  scopes: {{'users:read': Read users}}
upstreams: {{echo: {{builtin: echo}}}}
routes: [{{match: /, scopes: ['users:read'], upstream: echo}}]
"
    );
    for (name, content) in [("config.yaml", config.as_bytes()), ("password", PASSWORD.as_bytes()), ("kek", &[7; 32])] {
        fs::write(place.path().join(name), content).unwrap();
    }
    place
}

/// What `sidegate client list` prints, or says of its failure. It is a process of its own, since what the system's roots are
/// is up to its environment.
fn listed(place: &Path, roots: &Path) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["client", "list", "--output", "json", "-c", "config.yaml"]).current_dir(place);
    let output = command.env_clear().env("SSL_CERT_FILE", roots).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}
