//! Losing the database in the middle of changes. What is left of SQLite when the process itself is lost is shown where that is
//! a gateway.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sidegate::authority::follow::FollowedStore;
use sidegate::authority::store::{Store, StoreError};
use sidegate::config::authority::Storage;
use sidegate::core::registry::Change;
use sidegate::live::registry::Changes as _;
use tokio::sync::watch;
use tokio::time::timeout;

use super::{Place, create, delete, try_create};
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
    FollowedStore { store, keys: watch::Sender::new(0), in_force: watch::Sender::new(0), is_lost: false, replaced: 0 }
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

/// The file of a place, and those beside it.
fn files(file: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|end| PathBuf::from(format!("{}{end}", file.display())))
}

/// Waits until the storage is lost, as whoever follows it sees it.
async fn lost(followed: &mut FollowedStore, number: u64) -> String {
    let lost = async {
        loop {
            if let Err(error) = followed.next(Some(number)).await {
                return error;
            }
        }
    };
    timeout(PATIENCE, lost).await.unwrap()
}

#[tokio::test]
async fn a_file_that_is_moved_away_is_lost_until_it_is_back() {
    let place = Place::sqlite();
    let Storage::Sqlite(file) = place.storage() else { unreachable!() };
    let store = place.open().await;
    let number = create(&store, "a").await;
    let mut followed = followed(store.clone());
    followed.next(None).await.unwrap();
    let away = file.with_file_name("away.db");
    let move_all = |from: &Path, to: &Path| {
        for (from, to) in files(from).iter().zip(files(to)) {
            fs::rename(from, to).unwrap();
        }
    };
    move_all(&file, &away);
    let error = lost(&mut followed, number).await;
    assert!(error.ends_with("sidegate.db: the file was moved away or deleted"), "{error}");
    for lost in [store.number().await.err(), store.client("a").await.err(), try_create(&store, "b").await.err()] {
        assert!(matches!(lost, Some(StoreError::Unavailable(_))), "{lost:?}");
    }
    assert!(!file.exists(), "nobody makes an empty one");

    move_all(&away, &file);
    assert_eq!(create(&store, "b").await, number + 1);
    assert_eq!(timeout(PATIENCE, followed.next(Some(number))).await.unwrap().unwrap().number, number + 1);
}

/// As `sqlite3 sidegate.db ".backup b.db"; rm sidegate.db*; mv b.db sidegate.db` does it.
#[tokio::test]
async fn a_file_that_takes_the_place_of_another_is_the_storage_from_then_on() {
    let place = Place::sqlite();
    let Storage::Sqlite(file) = place.storage() else { unreachable!() };
    let store = place.open().await;
    create(&store, "a").await;
    create(&store, "b").await;
    let backup = file.with_file_name("b.db");
    rusqlite::Connection::open(&file).unwrap().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    let number = create(&store, "c").await;
    let mut followed = followed(store.clone());
    followed.next(None).await.unwrap();
    for file in files(&file) {
        fs::remove_file(file).unwrap();
    }
    fs::rename(&backup, &file).unwrap();

    // Another process makes a change of its own, with the number that is known here.
    let other = place.open().await;
    assert_eq!(delete(&other, "b").await, number);
    let error = lost(&mut followed, number).await;
    assert!(error.ends_with("sidegate.db: another file has taken its place"), "{error}");
    assert_eq!(followed.next(Some(number)).await.unwrap().number, 0, "numbers of before mean nothing");
    let anew = followed.next(None).await.unwrap();
    let told: Vec<_> = anew.items.iter().map(|(number, change)| (*number, is_deleted(change))).collect();
    assert_eq!((anew.number, told), (number, vec![(1, false), (number, true)]));
    assert!(store.client("b").await.unwrap().is_none() && store.client("c").await.unwrap().is_none());
    assert_eq!(create(&store, "d").await, number + 1);

    // What was open before has left nothing behind, and taken nothing along.
    drop((store, followed));
    for store in [other, place.open().await] {
        assert_eq!(store.number().await.unwrap(), number + 1);
        assert!(store.client("d").await.unwrap().is_some());
    }
}

fn is_deleted(change: &Change) -> bool {
    matches!(change, Change::Deleted { .. })
}

#[tokio::test]
async fn a_file_of_somebody_else_takes_nobodys_place() {
    let place = Place::sqlite();
    let Storage::Sqlite(file) = place.storage() else { unreachable!() };
    let store = place.open().await;
    create(&store, "a").await;
    for file in files(&file) {
        fs::remove_file(file).unwrap();
    }
    let refused = async || {
        let [Err(error), Err(_)] = [store.number().await, try_create(&store, "b").await] else { panic!() };
        error.to_string()
    };
    fs::write(&file, "").unwrap();
    assert!(refused().await.ends_with("another file has taken its place that is no storage of sidegate"));
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    fs::remove_file(&file).unwrap();
    fs::write(&file, "this is a text and not a database, and it is longer than the head of one".repeat(9)).unwrap();
    assert!(refused().await.ends_with("file is not a database"));
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
