//! Keys that change, and fetches that fail, while the gateway runs.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::issuer::{ISS, Issuer, Manner, token, unknown};
use super::{
    await_failure, await_key, config, config_for, directory, issuer_status, readiness, request, start, status,
};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::sync::Gate;
use crate::support::mint;

#[test]
fn a_new_key_is_fetched_once_for_all_requests_that_need_it() {
    let issuer = Issuer::serving(&["p256"]);
    let gateway = start(&config_for(&issuer, ""));
    assert_eq!(status(&gateway, &token("p256")), 200);
    assert_eq!(issuer.asked(), ["/keys"]);

    let gate = Gate::default();
    issuer.behave(Manner::Held(gate.clone(), mint::jwks(&["p256", "ed"])));
    let waiting: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = gateway.connect();
            client.send(request(&token("ed")));
            client
        })
        .collect();
    issuer.next();
    assert_eq!(status(&gateway, &token("p256")), 200, "who does not need the key does not wait");
    gate.open();
    for mut client in waiting {
        assert_eq!(client.receive().status, 200);
    }
    assert_eq!(issuer.asked(), [""; 0]);
    assert_eq!(issuer_status(&gateway)["keys"], json!(["p256", "ed"]));
}

#[test]
fn a_key_that_the_issuer_takes_away_opens_nothing_any_more() {
    let issuer = Issuer::serving(&["p256", "ed"]);
    let gateway = start(&config_for(&issuer, ", refresh: 1s"));
    assert_eq!((status(&gateway, &token("p256")), status(&gateway, &token("ed"))), (200, 200));
    issuer.behave(Manner::keys(&["ed", "p384"]));
    await_key(&gateway, "p384");
    let event = gateway.log_event(|event| event["removed"] == "p256");
    assert_eq!(event["issuer"], "partner");
    assert_eq!((status(&gateway, &token("p256")), status(&gateway, &token("ed"))), (401, 200));
}

#[test]
fn a_flood_of_unknown_keys_is_one_fetch_and_disturbs_nobody() {
    let issuer = Issuer::serving(&["p256"]);
    let gateway = start(&config_for(&issuer, ""));
    let good = request(&token("p256"));
    let began = Instant::now();
    thread::scope(|scope| {
        for flood in 0..4 {
            let mut client = gateway.connect();
            scope.spawn(move || {
                for number in 0..250 {
                    client.send(request(&unknown(&format!("{flood}-{number}"))));
                    assert_eq!(client.receive().status, 401);
                }
            });
        }
        let mut client = gateway.connect();
        for _ in 0..250 {
            client.send(&good);
            assert_eq!(client.receive().status, 200);
        }
    });
    let most = 2 + began.elapsed().as_secs() as usize / 10;
    assert!((2..=most).contains(&issuer.asked().len()), "the first one, and one in ten seconds");
}

/// What an issuer may answer, and how the gateway calls it.
fn bad_manners() -> Vec<(Manner, &'static str, &'static str)> {
    vec![
        (Manner::status(500), "status", "status 500"),
        (Manner::Raw(b"HTTP/1.1 302 X\r\nLocation: http://evil.example/keys\r\n\r\n".into()), "status", "evil.example"),
        (Manner::Raw(b"\x16\x03\x01 garbage\r\n\r\n".into()), "invalid", "no whole HTTP message"),
        (Manner::Raw(Vec::new()), "invalid", "no whole HTTP message"),
        (Manner::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".into()), "invalid", "no whole HTTP message"),
        (Manner::body("<html>sorry</html>"), "invalid", "not valid JSON"),
        (Manner::body(r#"{"keys":[]}"#), "invalid", "empty"),
        (Manner::body(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#), "invalid", "no usable key"),
        (Manner::Flood, "invalid", "longer than"),
    ]
}

#[test]
fn bad_answers_replace_nothing_and_are_told() {
    for (manner, result, text) in bad_manners() {
        let issuer = Issuer::serving(&["p256"]);
        let gateway = &start(&config_for(&issuer, ", refresh: 1s"));
        let memory = gateway.resident_bytes();
        assert_eq!(readiness(gateway), (200, json!({ "status": "ready" })));
        issuer.behave(manner);
        let error = await_failure(gateway);
        assert!(error.contains(text) && !error.contains("sorry") && !error.contains("c2VjcmV0"), "{error}");
        assert_eq!(status(gateway, &token("p256")), 200, "{text}");
        assert_eq!(issuer_status(gateway)["last_refresh"]["error"], error);
        let degraded = "the last attempt to refresh the keys of partner failed";
        assert_eq!(readiness(gateway), (200, json!({ "status": "degraded", "cause": degraded })));
        let (_, metrics) = gateway.admin_get("/metrics");
        let series = format!("sidegate_keys_refresh_total{{issuer=\"partner\",result=\"{result}\"}} ");
        assert!(metrics.contains(&series), "{series} in {metrics}");

        issuer.behave(Manner::keys(&["p256"]));
        gateway.log_event(|event| event["message"] == "the issuer's keys can be fetched again");
        assert_eq!(readiness(gateway).1["status"], "ready");
        let grown = gateway.resident_bytes().saturating_sub(memory);
        assert!(grown < 32 << 20, "{grown} bytes more after {text}");
    }
}

#[test]
fn an_issuer_that_hangs_keeps_nobody_for_long() {
    thread::scope(|scope| {
        for manner in [
            Manner::HangAfter(""),
            Manner::HangAfter("HTTP/1.1 200 OK\r\nContent-Le"),
            Manner::HangAfter("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"),
            Manner::Drip,
        ] {
            scope.spawn(|| keeps_nobody_for_long(manner));
        }
    });
}

fn keeps_nobody_for_long(manner: Manner) {
    let issuer = Issuer::serving(&["p256"]);
    let gateway = start(&config_for(&issuer, ""));
    assert_eq!(issuer.next(), "/keys", "the one at start");
    issuer.behave(manner);
    let mut waiting = gateway.connect();
    let began = Instant::now();
    waiting.send(request(&token("ed")));
    assert_eq!(issuer.next(), "/keys");
    assert_eq!(status(&gateway, &token("p256")), 200);
    assert_eq!(waiting.receive().status, 401);
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(9), "{waited:?}");
}

#[test]
fn a_reload_disturbs_no_keys() {
    let issuer = Issuer::serving(&["p256"]);
    let gateway = start(&config_for(&issuer, ""));
    issuer.asked();
    issuer.behave(Manner::status(503));
    let reload = || gateway.reload("Host: 127.0.0.1\r\n").status;
    for mode in ["enforce", "shadow", "enforce"] {
        gateway.configure(&format!("{}mode: {mode}\n", config_for(&issuer, "")));
        assert_eq!((reload(), status(&gateway, &token("p256"))), (200, 200));
    }
    assert_eq!(issuer.asked(), [""; 0], "nothing was fetched for that");

    // Another source is another matter: what came from the old one proves nothing about it.
    let other = Issuer::start(Manner::status(503));
    gateway.configure(&config_for(&other, ""));
    assert_eq!(reload(), 200);
    let refused = gateway.ask(request(&token("p256")));
    assert_eq!((refused.status, refused.code()), (503, "UNAVAILABLE".to_owned()));
    assert_eq!(readiness(&gateway), (200, json!({ "status": "degraded", "cause": "no keys of partner" })));
    other.behave(Manner::keys(&["p256"]));
    await_key(&gateway, "p256");
    gateway.log_event(|event| event["message"] == "the issuer's keys can be fetched again");
    assert_eq!(status(&gateway, &token("p256")), 200);
}

#[test]
fn status_and_metrics_tell_of_keys() {
    let issuer = Issuer::serving(&["p256"]);
    let keys = format!("jwks_uri: '{}/keys?secret=7', max_stale: 1h", issuer.url());
    let gateway = Gateway::launch_in(directory(&config(ISS, &keys)));
    let failed = await_failure(&gateway);
    assert!(failed.contains("status 404"), "{failed}");
    issuer.behave(Manner::body(&mint::jwks(&["p256"])));
    await_key(&gateway, "p256");
    let status = issuer_status(&gateway);
    assert_eq!((&status["keys"], &status["keys_age_seconds"]), (&json!(["p256"]), &json!(0)));
    assert_eq!(status["keys_source"], format!("{}/keys", issuer.url()), "without the query");
    let next = status["next_refresh_seconds"].as_u64().unwrap();
    assert!((260..=300).contains(&next), "{status}");
    let (_, metrics) = gateway.admin_get("/metrics");
    for series in ["sidegate_keys_age_seconds{issuer=\"partner\"} 0.", "result=\"success\"} 1", "result=\"status\"} "] {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    let finished = gateway.stop();
    assert!(!finished.stderr.contains("secret"), "{}", finished.stderr);
}
