//! Files: who may read them, what is no database of ours, and several processes at one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use sidegate::authority::store::{Store, StoreError};
use sidegate::config::authority::Storage;

use super::{Place, create};

fn file(place: &Place) -> PathBuf {
    let Storage::Sqlite(file) = place.storage() else { unreachable!() };
    file
}

async fn refusal(path: &Path) -> String {
    let refused = Store::open(&Storage::Sqlite(path.to_owned())).await;
    let Err(StoreError::Unusable(text)) = refused else { panic!("{refused:?}") };
    text.strip_prefix(&format!("{}: ", path.display())).expect(&text).to_owned()
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    let place = Place::sqlite();
    let store = place.open().await;
    create(&store, "a").await;
    let mut names = Vec::new();
    for entry in fs::read_dir(file(&place).parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["sidegate.db", "sidegate.db-shm", "sidegate.db-wal"]);
}

#[tokio::test]
async fn what_cannot_be_a_database_is_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    assert_eq!(refusal(&path("no/such/directory.db")).await, "its directory does not exist");
    assert_eq!(refusal(directory.path()).await, "is not a file; expected the path of a database file");
    fs::write(path("text"), "this is a text and not a database, and it is longer than the head of one".repeat(9))
        .unwrap();
    assert_eq!(refusal(&path("text")).await, "file is not a database");
    Connection::open(path("other")).unwrap().execute_batch("CREATE TABLE clients (id TEXT)").unwrap();
    assert_eq!(refusal(&path("other")).await, "is a database of another program");
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let place = Place::sqlite();
    create(&place.open().await, "a").await;
    Connection::open(file(&place)).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let expected = "its tables are of version 2, made by a newer sidegate; this one knows versions up to 1";
    assert_eq!(refusal(&file(&place)).await, expected);
}

#[tokio::test]
async fn the_audit_log_cannot_be_rewritten() {
    let place = Place::sqlite();
    let store = place.open().await;
    create(&store, "a").await;
    let connection = Connection::open(file(&place)).unwrap();
    let columns = "number, made_at, who, action, subject";
    for sql in [
        "UPDATE sidegate_audit SET who = 'x'",
        "DELETE FROM sidegate_audit",
        &format!("INSERT OR REPLACE INTO sidegate_audit ({columns}) VALUES (1, 0, 'x', 'create', 'a')"),
        &format!("REPLACE INTO sidegate_audit ({columns}) SELECT number, 0, 'x', 'create', 'a' FROM sidegate_audit"),
    ] {
        let error = connection.execute(sql, []).unwrap_err();
        assert_eq!(error.to_string(), "the audit log can only be appended to");
    }
}

#[tokio::test]
async fn many_may_open_it_at_once() {
    let place = Place::sqlite();
    let open: Vec<_> = (0..8)
        .map(|id| {
            let storage = place.storage();
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

#[tokio::test]
async fn reading_does_not_wait_for_a_writer() {
    let place = Place::sqlite();
    let store = place.open().await;
    create(&store, "a").await;
    let other = Connection::open(file(&place)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; UPDATE sidegate_clients SET name = 'x'").unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move { create(&store, "b").await }
    });
    tokio::task::yield_now().await;
    assert_ne!(&*store.client("a").await.unwrap().unwrap().name, "x");
    assert!(!writing.is_finished());
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(writing.await.unwrap(), 2);
}
