//! Gateways that are killed while clients are made and revoked: what was acknowledged is there, and the audit log tells it.

use std::path::Path;
use std::thread;

use sidegate::authority::store::{AuditRow, Store};
use sidegate::config::authority::Storage;
use tempfile::TempDir;

use super::fixture::{App, Authority, ME, client, config, directory, sidegate};
use crate::harness::gateway::Gateway;

const ROUNDS: usize = 10;

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
