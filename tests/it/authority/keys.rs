//! Signing keys: turned while they are in use, of each algorithm, and encrypted in the storage.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;

use super::fixture::{App, Authority, ME, bearer, config, directory, form_request, json, sidegate, until};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;

const READS: [&str; 2] = ["--scope", "users:read"];
/// What every key of P-256 has in it that is not encrypted: its algorithm (RFC 5480 section 2.1.1).
const PLAIN: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// Id and phase of each key, as the command line lists them.
fn listed(authority: &Authority, command: &str) -> Vec<(String, String)> {
    let output = sidegate(authority.gateway.directory(), &["keys", command]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.map(|row| (row[0].to_owned(), row[2].to_owned())).collect()
}

fn published(client: &mut Client) -> Vec<String> {
    client.send("GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n");
    let keys = json(&client.receive())["keys"].take();
    keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Gets tokens and calls with each, and with the first one, until it is told to stop; how often.
fn call_all_the_while(authority: &Authority, app: &App, stop: &AtomicBool) -> usize {
    let mut client = authority.gateway.connect();
    let (mut first, mut calls) = (None, 0);
    while !stop.load(Ordering::Relaxed) {
        client.send(form_request("/oauth2/token", "", &format!("grant_type=client_credentials&{}", app.form())));
        let answer = client.receive();
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = json(&answer)["access_token"].as_str().unwrap().to_owned();
        for token in [first.get_or_insert_with(|| token.clone()), &token] {
            client.send(bearer(ME, token, ""));
            let answer = client.receive();
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        calls += 1;
    }
    calls
}

#[test]
fn keys_are_turned_under_running_requests() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &READS);
    let stop = AtomicBool::new(false);
    let calls = thread::scope(|scope| {
        let calling = scope.spawn(|| call_all_the_while(&authority, &app, &stop));
        let mut client = authority.gateway.connect();
        let mut before = listed(&authority, "list");
        for _ in 0..3 {
            let turned = listed(&authority, "rotate");
            for (kid, phase) in &before {
                let after = turned.iter().find(|(known, _)| known == kid).map(|(_, phase)| &**phase);
                assert_eq!(after, Some(if phase == "next" { "current" } else { "retired" }), "{kid} {turned:?}");
            }
            let wanted: Vec<_> = turned.iter().map(|(kid, _)| kid.clone()).collect();
            while !wanted.iter().all(|kid| published(&mut client).contains(kid)) {}
            before = turned;
        }
        stop.store(true, Ordering::Relaxed);
        calling.join().unwrap()
    });
    assert!(calls > 3, "{calls}");
    assert_eq!(published(&mut authority.gateway.connect()).len(), 5);
}

#[test]
fn tokens_are_signed_with_each_algorithm() {
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        let authority = Authority::start(&format!("  algorithm: {algorithm}\n"), "");
        let token = authority.token(&authority.create("acme", &READS));
        assert_eq!(authority.call(ME, &token).status, 200, "{algorithm}");
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(format!("{:?}", header.alg).to_ascii_uppercase(), algorithm.to_ascii_uppercase());
        let kid = header.kid.unwrap();
        assert!(listed(&authority, "list").contains(&(kid, "current".to_owned())));
    }
}

/// Whether any of the storage's files holds a private key as it is.
fn is_plain(authority: &Authority) -> bool {
    let files = fs::read_dir(authority.gateway.directory()).unwrap().map(|entry| entry.unwrap());
    let mut files: Vec<_> =
        files.filter(|file| file.file_name().to_string_lossy().starts_with("sidegate.db")).collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let names: Vec<_> = files.iter().map(fs::DirEntry::file_name).collect();
    assert_eq!(names, ["sidegate.db", "sidegate.db-shm", "sidegate.db-wal"]);
    files.iter().any(|file| fs::read(file.path()).unwrap().windows(PLAIN.len()).any(|bytes| bytes == PLAIN))
}

#[test]
fn private_keys_are_stored_encrypted() {
    assert!(is_plain(&Authority::start("", "")), "what is looked for is there where nothing is encrypted");
    let place = directory(&config("  key_encryption_file: ./kek\n", ""));
    fs::write(place.path().join("kek"), [7; 32]).unwrap();
    let authority = Authority { gateway: Gateway::start_in(place) };
    let token = authority.token(&authority.create("acme", &READS));
    listed(&authority, "rotate");
    assert!(!is_plain(&authority));
    assert_eq!(authority.call(ME, &token).status, 200);

    // Nobody can sign or vouch with keys that cannot be opened: it says so, and goes on when the right file is there.
    let place = authority.gateway.kill();
    fs::write(place.path().join("kek"), [8; 32]).unwrap();
    let authority = Authority { gateway: Gateway::launch_in(place) };
    let error = authority.gateway.log_event(|event| event["message"] == "the authority cannot start");
    let text = error["error"].as_str().unwrap();
    assert!(text.contains("authority.key_encryption_file does not hold the key"), "{text}");
    let app = App { id: "acme".to_owned(), secret: "sgs_wrong".to_owned() };
    let answers = [
        authority.ask_token(&app, ""),
        authority.gateway.ask("GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    for answer in answers {
        assert_eq!((answer.status, answer.fields.one("retry-after").is_some()), (503, true), "{answer:?}");
        assert_eq!(json(&answer)["error"], "temporarily_unavailable");
    }
    assert_eq!(authority.gateway.admin_get("/readyz").0, 503);
    assert_eq!(authority.call(ME, &token).code(), "UNAVAILABLE");
    fs::write(authority.gateway.directory().join("kek"), [7; 32]).unwrap();
    until(&mut authority.gateway.connect(), 200, &bearer(ME, &token, ""));
    authority.gateway.log_event(|event: &Value| event["message"] == "ready");
}
