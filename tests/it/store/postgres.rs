//! What is PostgreSQL's own: reaching it, and not telling its password.

use std::env;
use std::fs;
use std::process::Command;
use std::time::Instant;

use sidegate::authority::store::{Store, StoreError};
use sidegate::config::authority::{Postgres, Secret, Storage};
use zeroize::Zeroizing;

use super::create;
use crate::harness::PATIENCE;
use crate::harness::certificates::Authority;
use crate::harness::postgres::{PASSWORD, PostgresServer};
use crate::harness::process::Process;

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

/// Names the database that [`opens_what_it_is_told_to`] opens.
const URL: &str = "SIDEGATE_TEST_URL";

/// A process of its own for the test below: what the system's roots are is up to its environment.
#[tokio::test]
#[ignore = "another test runs it"]
async fn opens_what_it_is_told_to() {
    let password = Some(Secret(Zeroizing::new(PASSWORD.to_owned())));
    let settings = Postgres { url: env::var(URL).expect("a URL").into(), password };
    match Store::open(&Storage::Postgres(settings)).await {
        Ok(store) => println!("\nsaid: opened {}", store.number().await.unwrap()),
        Err(error) => println!("\nsaid: {error}"),
    }
}

#[tokio::test]
async fn its_certificate_is_verified() {
    let mut server = PostgresServer::start();
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    server.show(&authority.issue("127.0.0.1"));
    server.kill();
    server.restart();
    let roots = tempfile::tempdir().unwrap();
    let ask = |sslmode: &str, authority: &Authority| {
        let file = roots.path().join("roots.pem");
        fs::write(&file, &authority.pem).unwrap();
        let settings = server.settings_at(&format!("127.0.0.1:{}", server.port()), sslmode);
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--ignored", "--nocapture", "--exact", "store::postgres::opens_what_it_is_told_to"]);
        command.env(URL, &*settings.url).env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR");
        let process = Process::spawn(&mut command);
        process.stdout.wait_for("an answer", |text| text.split_once("said: ")?.1.lines().next().map(str::to_owned))
    };
    assert_eq!(ask("require", &authority), "opened 0");
    assert_eq!(ask("prefer", &authority), "opened 0");
    for sslmode in ["require", "prefer"] {
        let said = ask(sslmode, &other);
        assert!(said.contains("error performing TLS handshake: invalid peer certificate"), "{said}");
    }
    assert_eq!(ask("disable", &other), "opened 0");
}
