//! Gateways that are killed while clients are made and revoked: what was acknowledged is there, and the audit log tells it.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use serde_json::json;
use sidegate::authority::store::{AuditRow, Store};
use sidegate::config::authority::Storage;
use tempfile::TempDir;

use super::fixture::{App, Authority, ME, client, config, directory, sidegate};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;

const ROUNDS: usize = 10;
const WRITERS: usize = 4;
/// Clients that a gateway has made at least when it is killed in the middle of making others.
const ACKNOWLEDGED: usize = 40;

/// What one round has had acknowledged.
struct Round {
    kept: App,
    revoked: App,
}

/// Makes two clients and revokes one.
fn work(directory: &Path, round: usize) -> Round {
    let create = |name: &str| {
        let id = format!("{name}-{round}");
        let created = client(directory, &["create", "--id", &id, "--name", &id, "--scope", "users:read"]);
        App { id, secret: created["client_secret"].as_str().unwrap().to_owned() }
    };
    let (kept, revoked) = (create("kept"), create("revoked"));
    client(directory, &["revoke", &revoked.id]);
    Round { kept, revoked }
}

/// One round: a gateway that is killed, sooner or later, while another process works on its storage.
fn round(place: TempDir, number: usize) -> (TempDir, Round) {
    let path = place.path().to_owned();
    let working = thread::spawn(move || work(&path, number));
    // Every other one is killed while it starts.
    let gateway = if number.is_multiple_of(2) { Gateway::launch_in(place) } else { Gateway::start_in(place) };
    let place = gateway.kill();
    (place, working.join().unwrap())
}

#[test]
fn what_was_acknowledged_survives() {
    let mut place = directory(&config("", ""));
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        let (left, done) = round(place, number);
        place = left;
        rounds.push(done);
    }
    let authority = Authority { gateway: Gateway::start_in(place) };
    for Round { kept, revoked } in &rounds {
        let token = authority.token(kept);
        assert_eq!((authority.call(ME, &token).status, authority.ask_token(revoked, "").status), (200, 401));
    }
    check(&authority, &rounds);
    assert!(sidegate(authority.gateway.directory(), &["client", "list"]).status.success());
}

#[tokio::main(flavor = "current_thread")]
async fn check(authority: &Authority, rounds: &[Round]) {
    let storage = Storage::Sqlite(authority.gateway.directory().join("sidegate.db"));
    let store = Store::open(&storage).await.unwrap();
    let audit = store.audit(0, 1000).await.unwrap();
    assert!(audit.windows(2).all(|rows| rows[0].number < rows[1].number));
    assert_eq!(audit.last().unwrap().number, store.number().await.unwrap());
    let told = |row: &AuditRow| (String::from(row.action.clone()), String::from(row.subject.clone()));
    let count =
        |action: &str, id: &str| audit.iter().filter(|row| told(row) == (action.to_owned(), id.to_owned())).count();
    for Round { kept, revoked } in rounds {
        assert!(!store.client(&kept.id).await.unwrap().unwrap().is_revoked);
        assert!(store.client(&revoked.id).await.unwrap().unwrap().is_revoked);
        let counts = [count("create", &kept.id), count("create", &revoked.id), count("revoke", &revoked.id)];
        assert_eq!((counts, count("revoke", &kept.id)), ([1; 3], 0));
    }
    // The client of the first start was made once, however often it was tried.
    assert_eq!(count("create", "admin"), 1);
}

/// The second time the storage is made anew, and finds beside itself what the killed one has left of its log.
#[test]
fn what_was_acknowledged_survives_the_middle_of_a_write() {
    let mut place = directory(&config("", ""));
    for _ in 0..2 {
        let (left, acknowledged) = killed_while_it_writes(place);
        check_written(left.path(), &acknowledged);
        fs::remove_file(left.path().join("sidegate.db")).unwrap();
        place = left;
    }
}

/// Has a gateway make clients without end, and kills it. The ids of those that it has acknowledged.
fn killed_while_it_writes(place: TempDir) -> (TempDir, Vec<String>) {
    let authority = Authority { gateway: Gateway::start_in(place) };
    let secret = fs::read_to_string(authority.gateway.directory().join("admin.secret")).unwrap();
    let token = authority.token(&App { id: "admin".to_owned(), secret: secret.trim().to_owned() });
    let (told, acknowledged) = channel();
    for writer in 0..WRITERS {
        let client = Client::connect(authority.gateway.admin.unwrap());
        let (token, told) = (token.clone(), told.clone());
        thread::spawn(move || make_clients(client, &token, writer, &told));
    }
    drop(told);
    let mut ids: Vec<String> = acknowledged.iter().take(ACKNOWLEDGED).collect();
    let place = authority.gateway.kill();
    ids.extend(acknowledged);
    (place, ids)
}

/// Makes one after the other until nobody answers.
fn make_clients(mut client: Client, token: &str, writer: usize, told: &Sender<String>) {
    for number in 0.. {
        let id = format!("{writer}-{number}");
        let body = json!({ "client_id": id, "name": id, "scopes": ["users:read"] }).to_string();
        let sent = client.try_send(format!(
            "POST /api/v1/clients HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let Ok(answer) = sent.map_err(drop).and_then(|()| client.try_receive().map_err(drop)) else { return };
        assert_eq!(answer.status, 201, "{answer:?}");
        told.send(id).unwrap();
    }
}

#[tokio::main(flavor = "current_thread")]
async fn check_written(place: &Path, acknowledged: &[String]) {
    assert!(acknowledged.len() >= ACKNOWLEDGED, "{acknowledged:?}");
    let store = Store::open(&Storage::Sqlite(place.join("sidegate.db"))).await.unwrap();
    for id in acknowledged {
        assert!(store.client(id).await.unwrap().is_some(), "{id}");
    }
    let (number, audit) = (store.number().await.unwrap(), store.audit(0, usize::MAX).await.unwrap());
    assert!(audit.iter().map(|row| row.number).eq(1..=number), "each change is told once");
    let made = audit.iter().filter(|row| String::from(row.action.clone()) == "create").count();
    assert_eq!(store.changes(0).await.unwrap().items.len(), made);
    client(place, &["create", "--id", "next", "--name", "next", "--scope", "users:read"]);
    assert_eq!(store.number().await.unwrap(), number + 1);
}
