//! Losing the database in the middle of changes. What is left of SQLite when the process itself is lost is shown where that is
//! a gateway.

use std::time::Duration;

use sidegate::authority::follow::FollowedStore;
use sidegate::authority::store::{Store, StoreError};
use sidegate::config::authority::Storage;
use sidegate::live::registry::Changes as _;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Place, create, try_create};
use crate::harness::PATIENCE;
use crate::harness::postgres::PostgresServer;

const ACKNOWLEDGED: usize = 40;

#[tokio::test]
async fn postgres_keeps_what_was_acknowledged_when_it_is_killed() {
    let mut server = PostgresServer::start();
    let store = Store::open(&Storage::Postgres(server.settings())).await.unwrap();
    let (told, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    for writer in 0..4 {
        let (store, told) = (store.clone(), told.clone());
        tokio::spawn(async move {
            for change in 0.. {
                let id = format!("{writer}-{change}");
                match try_create(&store, &id).await {
                    Ok(number) => told.send((number, id)).unwrap(),
                    Err(StoreError::Unavailable(_)) => return,
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    drop(told);
    let mut done = Vec::new();
    while done.len() < ACKNOWLEDGED {
        done.push(timeout(PATIENCE, acknowledged.recv()).await.unwrap().unwrap());
    }
    let waiting = tokio::spawn({
        let store = store.clone();
        async move {
            loop {
                let number = store.number().await?;
                store.changed(number).await?;
            }
        }
    });
    server.kill();
    let lost = timeout(PATIENCE, waiting).await.unwrap().unwrap();
    let lost: Result<(), StoreError> = lost;
    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    while let Some(one) = timeout(PATIENCE, acknowledged.recv()).await.unwrap() {
        done.push(one);
    }
    for lost in [store.number().await.err(), store.changed(0).await.err(), try_create(&store, "x").await.err()] {
        assert!(matches!(lost, Some(StoreError::Unavailable(_))), "{lost:?}");
    }

    server.restart();
    // The same store: nobody opens it again.
    let changes = store.changes(0).await.unwrap();
    let numbers: Vec<u64> = changes.items.iter().map(|(number, _)| *number).collect();
    assert!(done.iter().all(|(number, _)| numbers.contains(number)));
    for (number, id) in &done {
        assert_eq!(store.client(id).await.unwrap().unwrap().version, *number);
    }
    let audit: Vec<u64> = store.audit(0, usize::MAX).await.unwrap().iter().map(|row| row.number).collect();
    assert_eq!((&audit, changes.number), (&numbers, *numbers.last().unwrap()));
    assert_eq!(create(&store, "next").await, changes.number + 1);
    timeout(PATIENCE, store.changed(changes.number)).await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_that_died_unnoticed_are_replaced() {
    let mut server = PostgresServer::start();
    let store = Store::open(&Storage::Postgres(server.settings())).await.unwrap();
    let woken = tokio::spawn({
        let store = store.clone();
        async move {
            while store.changed(1).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    create(&store, "a").await;
    server.kill();
    server.restart();
    assert_eq!(create(&store, "b").await, 2);
    timeout(PATIENCE, woken).await.unwrap().unwrap();
}

fn followed(store: Store) -> FollowedStore {
    FollowedStore { store, keys: watch::Sender::new(0), in_force: watch::Sender::new(0), is_lost: false }
}

/// Nothing has changed meanwhile, and that is what has to be known: a registry that nobody says is current gets too old.
#[tokio::test]
async fn a_database_that_is_there_again_is_followed_though_nothing_has_changed() {
    let mut server = PostgresServer::start();
    let store = Store::open(&Storage::Postgres(server.settings())).await.unwrap();
    let number = create(&store, "a").await;
    let mut followed = followed(store);
    assert_eq!(followed.next(None).await.unwrap().number, number);
    server.kill();
    timeout(PATIENCE, followed.next(Some(number))).await.unwrap().unwrap_err();
    server.restart();
    let again = async {
        loop {
            if let Ok(batch) = followed.next(Some(number)).await {
                return batch;
            }
        }
    };
    let batch = timeout(PATIENCE, again).await.unwrap();
    assert_eq!((batch.number, batch.items), (number, Vec::new()));
}

#[tokio::test]
async fn whoever_follows_notices_a_storage_that_was_put_back() {
    let place = Place::sqlite();
    let Storage::Sqlite(file) = place.storage() else { unreachable!() };
    let store = place.open().await;
    create(&store, "a").await;
    let number = create(&store, "b").await;
    let mut followed = followed(store);
    followed.next(None).await.unwrap();
    let database = rusqlite::Connection::open(file).unwrap();
    database
        .execute_batch("UPDATE sidegate_state SET number = number - 1; DELETE FROM sidegate_clients WHERE id = 'b'")
        .unwrap();
    assert_eq!(timeout(PATIENCE, followed.next(Some(number))).await.unwrap().unwrap().number, number - 1);
}
