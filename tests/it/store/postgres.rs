//! What is PostgreSQL's own: reaching it, and not telling its password.

use std::time::Instant;

use sidegate::authority::store::{Store, StoreError};
use sidegate::config::authority::{Postgres, Secret, Storage};
use zeroize::Zeroizing;

use super::create;
use crate::harness::PATIENCE;
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
    let address = settings.url.split(['@', '/']).nth(3).unwrap().to_owned();

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
