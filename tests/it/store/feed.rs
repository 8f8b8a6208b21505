//! Following the changes.

use std::collections::BTreeMap;
use std::time::Duration;

use sidegate::authority::store::Store;
use sidegate::core::registry::Change;
use tokio::time::timeout;

use super::{NOW, Place, create, delete, edit, on_both, revoke, who};
use crate::harness::PATIENCE;

on_both! {
    each_thing_is_told_once_with_its_latest_number;
    concurrent_writers_get_numbers_of_their_own_and_followers_miss_nothing;
    whoever_waits_is_woken_by_changes_of_this_store;
    whoever_waits_is_woken_by_changes_of_another_store;
    a_store_works_from_runtimes_without_timers_and_outlives_them;
}

async fn told(store: &Store, after: u64) -> Vec<(u64, String)> {
    let changes = store.changes(after).await.unwrap();
    changes.items.into_iter().map(|(number, change)| (number, name(&change))).collect()
}

fn name(change: &Change) -> String {
    match change {
        Change::Client { id, .. } => format!("client {id}"),
        Change::Deleted { id } => format!("deleted {id}"),
        Change::Foreign { iss, id, is_refused } => format!("foreign {iss} {id} {is_refused}"),
        Change::Token { jti, expires } => format!("token {jti} {}", expires.0 - NOW.0),
    }
}

fn named(items: &[(u64, &str)]) -> Vec<(u64, String)> {
    items.iter().map(|(number, name)| (*number, (*name).to_owned())).collect()
}

async fn each_thing_is_told_once_with_its_latest_number(place: &Place) {
    let store = place.open().await;
    assert_eq!((store.number().await.unwrap(), told(&store, 0).await), (0, Vec::new()));
    create(&store, "a").await;
    create(&store, "b").await;
    store.refuse_foreign(who(), "idp", "x", true, NOW).await.unwrap();
    revoke(&store, who(), "jti", 60, NOW).await.unwrap();
    edit(&store, "a", "1").await;
    delete(&store, "b").await;
    let all = named(&[(3, "foreign idp x true"), (4, "token jti 60"), (5, "client a"), (6, "deleted b")]);
    assert_eq!(told(&store, 0).await, all);
    assert_eq!(told(&store, 4).await, named(&[(5, "client a"), (6, "deleted b")]));
    assert_eq!(told(&store, 6).await, Vec::new());
    assert_eq!(told(&store, u64::MAX).await, Vec::new());

    create(&store, "b").await;
    store.refuse_foreign(who(), "idp", "x", false, NOW).await.unwrap();
    let rest = named(&[(5, "client a"), (7, "client b"), (8, "foreign idp x false")]);
    assert_eq!(told(&store, 4).await, rest);
    let changes = store.changes(6).await.unwrap();
    let Some((7, Change::Client { now, .. })) = changes.items.first() else { panic!("{changes:?}") };
    assert_eq!(**now, store.client("b").await.unwrap().unwrap().registered());
    assert_eq!((changes.number, changes.keys_number, now.version, now.generation), (8, 0, 7, 7));
}

const WRITERS: u64 = 4;
const CHANGES: u64 = 50;

async fn concurrent_writers_get_numbers_of_their_own_and_followers_miss_nothing(place: &Place) {
    let store = place.open().await;
    let follower = tokio::spawn(follow(place.open().await, WRITERS * CHANGES));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        // Half of them are other processes, as far as storage can tell.
        let store = if writer % 2 == 0 { store.clone() } else { place.open().await };
        writers.push(tokio::spawn(write(store, writer)));
    }
    let mut all = BTreeMap::new();
    for writer in writers {
        let made = writer.await.unwrap();
        assert!(made.is_sorted_by(|one, next| one.0 < next.0));
        all.extend(made);
    }
    assert_eq!(all.len() as u64, WRITERS * CHANGES);
    let expected: Vec<_> = all.into_iter().collect();
    let followed = timeout(PATIENCE * 3, follower).await.unwrap().unwrap();
    assert_eq!(state(&followed), state(&expected));

    for after in [1, 17, 100, WRITERS * CHANGES - 1, WRITERS * CHANGES] {
        let (old, new): (Vec<_>, Vec<_>) = expected.iter().cloned().partition(|(number, _)| *number <= after);
        let told = told(&store, after).await;
        assert!(told.iter().all(|item| new.contains(item)), "after {after}");
        assert_eq!(state(&[old, told].concat()), state(&expected), "after {after}");
    }
}

/// Each third change deletes what the one before has created.
async fn write(store: Store, writer: u64) -> Vec<(u64, String)> {
    let mut made = Vec::new();
    for change in 0..CHANGES {
        let id = format!("{writer}-{}", if change % 3 == 2 { change - 1 } else { change });
        made.push(match change % 3 {
            2 => (delete(&store, &id).await, format!("deleted {id}")),
            _ => (create(&store, &id).await, format!("client {id}")),
        });
    }
    made
}

/// All that is told, as it comes, up to the change of this number.
async fn follow(store: Store, last: u64) -> Vec<(u64, String)> {
    let (mut items, mut number) = (Vec::new(), 0);
    while number < last {
        store.changed(number).await.unwrap();
        let changes = store.changes(number).await.unwrap();
        assert!(changes.items.iter().all(|(item, _)| number < *item && *item <= changes.number));
        items.extend(changes.items.into_iter().map(|(number, change)| (number, name(&change))));
        number = changes.number;
    }
    items
}

/// What there is after all these.
fn state(items: &[(u64, String)]) -> BTreeMap<String, u64> {
    let mut state = BTreeMap::new();
    for (number, item) in items {
        match item.strip_prefix("deleted ") {
            Some(id) => state.remove(&format!("client {id}")),
            None => state.insert(item.clone(), *number),
        };
    }
    state
}

/// Much less than the looks that would find a change anyhow.
const AT_ONCE: Duration = Duration::from_millis(900);

async fn whoever_waits_is_woken_by_changes_of_this_store(place: &Place) {
    let store = place.open().await;
    wakes(&store, &store.clone()).await;
}

async fn whoever_waits_is_woken_by_changes_of_another_store(place: &Place) {
    let (one, other) = (place.open().await, place.open().await);
    wakes(&one, &other).await;
    wakes(&other, &one).await;
}

async fn wakes(waiting: &Store, writing: &Store) {
    for _ in 0..3 {
        let number = writing.number().await.unwrap();
        // Those who have gone are no trouble.
        assert!(timeout(Duration::from_millis(1), waiting.changed(number)).await.is_err());
        let woken = tokio::spawn({
            let waiting = waiting.clone();
            async move { waiting.changed(number).await }
        });
        tokio::task::yield_now().await;
        create(writing, "a").await;
        timeout(AT_ONCE, woken).await.expect("to be woken").unwrap().unwrap();
        // What has happened already is not waited for.
        timeout(AT_ONCE, waiting.changed(number)).await.unwrap().unwrap();
    }
}

async fn a_store_works_from_runtimes_without_timers_and_outlives_them(place: &Place) {
    let store = place.open().await;
    for id in ["a", "b"] {
        let store = store.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async move {
                let number = create(&store, id).await;
                store.changed(number - 1).await.unwrap();
            });
        });
        thread.join().unwrap();
    }
    assert_eq!(store.number().await.unwrap(), 2);
}
