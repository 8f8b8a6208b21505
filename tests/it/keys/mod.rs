//! Keys that are fetched: what clients see when an issuer changes its keys, is down, or is out of its mind.

mod issuer;
mod refresh;
mod start;
mod waiting;

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use self::issuer::{ISS, Issuer};
use crate::harness::gateway::{Gateway, complete};

/// A configuration with an issuer whose keys come from here, and one route for any valid token.
fn config(iss: &str, keys: &str) -> String {
    format!(
        "workers: 2
limits: {{drain_delay: 0s}}
state_dir: ./state
issuers: [{{name: partner, issuer: '{iss}', audiences: [https://api.example], keys: {{{keys}}}}}]
upstreams: {{echo: {{builtin: echo}}}}
routes: [{{match: /, authenticated: true, upstream: echo}}]\n"
    )
}

/// The same, with `jwks_uri` at this issuer and more keys of `keys`.
fn config_for(issuer: &Issuer, more: &str) -> String {
    config(ISS, &format!("jwks_uri: '{}/keys'{more}", issuer.url()))
}

/// A directory with this configuration.
fn directory(config: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    write_config(directory.path(), config);
    directory
}

fn write_config(directory: &Path, config: &str) {
    fs::write(directory.join("config.yaml"), complete(config)).unwrap();
}

fn start(config: &str) -> Gateway {
    Gateway::start_in(directory(config))
}

fn request(token: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    gateway.ask(request(token)).status
}

/// What `/status` says about the issuer.
fn issuer_status(gateway: &Gateway) -> Value {
    let (_, body) = gateway.admin_get("/status");
    serde_json::from_str::<Value>(&body).unwrap()["issuers"][0].take()
}

/// What `/readyz` says.
fn readiness(gateway: &Gateway) -> (u16, Value) {
    let (status, body) = gateway.admin_get("/readyz");
    (status, serde_json::from_str(&body).unwrap())
}

/// Waits until a fetch has failed for the first time since one succeeded. The error.
fn await_failure(gateway: &Gateway) -> String {
    let event = gateway.log_event(|event| event["message"] == "the issuer's keys cannot be fetched");
    event["error"].as_str().unwrap().to_owned()
}

/// Waits until this key has come into force.
fn await_key(gateway: &Gateway, id: &str) {
    gateway.log_event(|event| {
        let is_in = event["added"].as_str().is_some_and(|added| added.split(", ").any(|added| added == id));
        event["message"] == "the issuer's keys have changed" && is_in
    });
}
