//! What libraries of others make of the endpoints: Authlib in Python and oauth4webapi in JavaScript.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::KeyPair;
use serde_json::{Value, json};

use super::fixture::Authority;
use crate::harness::free_address;
use crate::real::peers::outcome;

const METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];

/// Has a program get tokens by each method; what it prints.
fn converse(program: &str, algorithm: &str) -> Value {
    // Discovery begins at the issuer, which has to be known before anything listens.
    let address = free_address();
    let issuer = format!("http://{address}");
    let section = format!("  issuer: {issuer}\n  algorithm: {algorithm}\n");
    let authority = Authority::start(&section, &format!("listeners: [{{address: '{address}'}}]\n"));
    let key = KeyPair::generate().unwrap();
    let file = |name: &str| authority.gateway.directory().join(name).to_str().unwrap().to_owned();
    fs::write(file("key.pem"), key.serialize_pem()).unwrap();
    fs::write(file("client.jwks"), jwks(key.public_key_raw())).unwrap();
    let more = ["--scope", "users:read", "--tenant", "t1", "--jwks-file", "client.jwks", "--with-secret"];
    let app = authority.create("acme", &more);
    let arguments = [&*issuer, &app.id, &app.secret, &file("key.pem"), "users:read", "https://api.example.com"];
    let arguments = if program.ends_with(".py") { &arguments[..5] } else { &arguments };
    outcome(program, arguments)
}

/// The key set of a client (RFC 7518 section 6.2.1) from a point of P-256 (SEC 1 section 2.3.3).
fn jwks(point: &[u8]) -> String {
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (x, y) = (coordinate(&point[1..33]), coordinate(&point[33..]));
    json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "x": x, "y": y}]}).to_string()
}

fn is_as_it_should_be(outcome: &Value) {
    for method in METHODS {
        let found = &outcome[method];
        assert_eq!((&found["before"], &found["after"]), (&json!(true), &json!(false)), "{method}: {outcome}");
        let claims = ["client_id", "sub", "aud", "scope", "tenant_id"].map(|name| found["claims"][name].as_str());
        let expected = ["acme", "acme", "https://api.example.com", "users:read", "t1"];
        assert_eq!(claims, expected.map(Some), "{method}: {outcome}");
    }
}

#[test]
fn authlib_gets_tokens() {
    is_as_it_should_be(&converse("oauth_client.py", "RS256"));
}

#[test]
fn oauth4webapi_gets_tokens() {
    is_as_it_should_be(&converse("oauth_client.mjs", "ES256"));
}
