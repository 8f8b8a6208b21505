//! Starts: with keys from the network, from the disk, and with none.

use std::fs;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::issuer::{ISS, Issuer, Manner, metadata, token, token_of};
use super::{
    await_failure, await_key, config, config_for, directory, issuer_status, readiness, request, start, status,
    write_config,
};
use crate::harness::backend::RawBackend;
use crate::harness::gateway::Gateway;
use crate::support::mint;

/// What comes of a command.
fn sidegate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sidegate")).args(arguments).output().unwrap()
}

/// Runs a gateway that fetches the keys of `issuer`, to its end. The directory in which it has kept them.
fn after_a_run(issuer: &Issuer) -> TempDir {
    let state = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_in(with_state(issuer, &state));
    assert_eq!(status(&gateway, &token("p256")), 200);
    gateway.stop();
    state
}

/// A directory with a configuration for this issuer's keys, which are kept in `state`.
fn with_state(issuer: &Issuer, state: &TempDir) -> TempDir {
    directory(&config_for(issuer, "").replace("./state", state.path().to_str().unwrap()))
}

#[test]
fn without_its_issuer_a_gateway_starts_with_the_keys_it_had() {
    let issuer = Issuer::serving(&["p256"]);
    let state = after_a_run(&issuer);
    issuer.behave(Manner::HangAfter(""));
    let began = Instant::now();
    let gateway = Gateway::start_in(with_state(&issuer, &state));
    println!("ready after {:?} while the issuer hangs", began.elapsed());
    assert_eq!(status(&gateway, &token("p256")), 200);
    issuer.behave(Manner::status(500));
    assert_eq!(gateway.admin_get("/readyz").0, 200);
    assert_eq!(issuer_status(&gateway)["keys"], json!(["p256"]));
}

#[test]
fn explain_knows_the_keys_that_the_gateway_had() {
    let issuer = Issuer::serving(&["p256"]);
    let state = after_a_run(&issuer);
    let place = with_state(&issuer, &state);
    let config = place.path().join("config.yaml");
    let explain = |token: String| {
        sidegate(&["explain", "-c", config.to_str().unwrap(), "GET", "/", "--token", &token]).status.code()
    };
    assert_eq!(explain(token("p256")), Some(0));
    assert_eq!(explain(token("ed")), Some(2), "the gateway would ask the issuer");
    assert_eq!(issuer.asked(), ["/keys"], "nothing is fetched by it");
}

#[test]
fn keys_that_were_tampered_with_are_not_used() {
    let issuer = Issuer::serving(&["p256"]);
    let state = after_a_run(&issuer);
    let files: Vec<_> = fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("one issuer, one file: {files:?}") };
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("p256", "p257")).unwrap();
    issuer.behave(Manner::status(500));
    let gateway = Gateway::launch_in(with_state(&issuer, &state));
    let event = gateway.log_event(|event| event["message"] == "the last good keys on disk are not used");
    assert_eq!((&event["issuer"], &event["error"]), (&json!("partner"), &json!("it is damaged")));
    assert_eq!(readiness(&gateway).0, 503);
    assert_eq!(status(&gateway, &token("p256")), 503);
}

#[test]
fn without_keys_a_gateway_is_not_ready_until_they_come() {
    let issuer = Issuer::start(Manner::status(500));
    let gateway = Gateway::launch_in(directory(&config_for(&issuer, "")));
    await_failure(&gateway);
    let unready = json!({ "status": "unready", "cause": "starting: no keys of partner" });
    assert_eq!(readiness(&gateway), (503, unready));
    let health = || sidegate(&["health", "--url", &format!("http://{}", gateway.admin.unwrap())]);
    let unready = health();
    assert!(!unready.status.success());
    let told = String::from_utf8(unready.stderr).unwrap();
    assert!(told.contains("not ready: starting: no keys of partner"), "{told}");
    assert_eq!(gateway.admin_get("/healthz").0, 200);
    let refused = gateway.ask(request(&token("p256")));
    assert_eq!((refused.status, refused.code()), (503, "UNAVAILABLE".to_owned()));

    issuer.behave(Manner::keys(&["p256"]));
    gateway.log_event(|event| event["message"] == "ready");
    assert_eq!(readiness(&gateway).0, 200);
    assert!(health().status.success());
    assert_eq!(status(&gateway, &token("p256")), 200);
}

#[test]
fn a_gateway_that_waits_for_keys_ends_when_it_is_told_to() {
    let issuer = Issuer::start(Manner::HangAfter(""));
    let gateway = Gateway::launch_in(directory(&config_for(&issuer, "")));
    issuer.next();
    gateway.stop();
}

#[test]
fn nobody_where_the_issuer_should_be_is_no_reason_not_to_start() {
    let address = RawBackend::nowhere();
    let gateway = Gateway::launch_in(directory(&config(ISS, &format!("jwks_uri: 'http://{address}/keys'"))));
    let error = await_failure(&gateway);
    assert!(error.starts_with("cannot connect to 127.0.0.1"), "{error}");
    assert_eq!(readiness(&gateway).0, 503);
}

#[test]
fn keys_are_found_by_the_issuers_own_metadata_in_both_places() {
    for (path, well_known) in [
        ("", "/.well-known/openid-configuration"),
        ("/realms/a", "/realms/a/.well-known/openid-configuration"),
        ("", "/.well-known/oauth-authorization-server"),
        ("/realms/a", "/.well-known/oauth-authorization-server/realms/a"),
    ] {
        let issuer = Issuer::start(Manner::status(500));
        let iss = format!("{}{path}", issuer.url());
        let found = metadata(&iss, &format!("{}/deep/keys", issuer.url()));
        issuer.behave(Manner::Documents(vec![(well_known, found), ("/deep/keys", mint::jwks(&["p256"]))]));
        let gateway = start(&config(&iss, ""));
        assert_eq!(status(&gateway, &token_of(&iss, "p256")), 200);
        assert_eq!(issuer.asked().last().unwrap(), "/deep/keys");
        assert_eq!(issuer_status(&gateway)["keys_source"], "discovery");
    }
}

#[test]
fn metadata_of_another_issuer_leads_nowhere() {
    let issuer = Issuer::start(Manner::status(500));
    let keys = ("/keys", mint::jwks(&["p256"]));
    let at = |iss: &str| ("/.well-known/openid-configuration", metadata(iss, &format!("{}/keys", issuer.url())));
    issuer.behave(Manner::Documents(vec![at("https://issuer.example"), keys.clone()]));
    let gateway = Gateway::launch_in(directory(&config(&issuer.url(), "")));
    let error = await_failure(&gateway);
    assert!(error.contains("another issuer"), "{error}");
    assert!(!issuer.asked().contains(&"/keys".to_owned()));
    assert_eq!(readiness(&gateway).0, 503);
    issuer.behave(Manner::Documents(vec![at(&issuer.url()), keys]));
    await_key(&gateway, "p256");
}

#[test]
fn keys_in_files_are_waited_for_by_nobody() {
    let place = directory("");
    fs::write(place.path().join("jwks.json"), mint::jwks(&["p256"])).unwrap();
    write_config(place.path(), &config(ISS, "jwks_file: jwks.json"));
    let began = Instant::now();
    let gateway = Gateway::start_in(place);
    println!("ready after {:?} with keys in a file", began.elapsed());
    assert_eq!(readiness(&gateway), (200, json!({ "status": "ready" })));
    assert_eq!(issuer_status(&gateway)["keys_source"], "file");
    assert!(!gateway.directory().join("state").exists());
}
