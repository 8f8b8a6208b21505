//! Shadow mode of an issuer: what it lets through, and what it does not.

use serde_json::json;
use sidegate::config;
use sidegate::core::NoMemo;
use sidegate::core::decision::Outcome;
use sidegate::core::rejection::Reason;
use sidegate::core::snapshot::Snapshot;

use crate::support::decisions::{NOW, decide, headers};
use crate::support::mint::{jwks, key, mint};

const CONFIG: &str = "
listeners: [{ address: 127.0.0.1:0 }]
issuers:
  - { name: new, issuer: https://new.test, audiences: [https://api.test], keys: { jwks_file: new.json }, mode: shadow }
  - { name: old, issuer: https://old.test, audiences: [https://api.test], keys: { jwks_file: old.json } }
upstreams: { echo: { builtin: echo } }
routes:
  - { match: GET /any, scopes: [a], upstream: echo }
  - { match: GET /new, scopes: [a], issuers: [new], upstream: echo }
  - { match: GET /old, scopes: [a], issuers: [old], upstream: echo }
";

fn snapshot() -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("new.json"), jwks(&["rsa"])).unwrap();
    std::fs::write(directory.path().join("old.json"), jwks(&["p256"])).unwrap();
    config::from_text("shadow.yaml", CONFIG, directory.path(), &|_| None).unwrap().snapshot
}

/// What becomes of a token without any scope: refused, or let through in spite of the reason.
fn outcome(iss: &str, algorithm: &str, signer: &str, target: &str) -> Result<Option<Reason>, Reason> {
    let header = json!({ "alg": algorithm, "kid": signer, "typ": "at+jwt" });
    let claims = json!({ "iss": iss, "aud": "https://api.test", "client_id": "acme", "exp": NOW.0 + 60 });
    let decision = decide(&snapshot(), &NoMemo, &headers(&mint(&header, &claims, key(signer))), target);
    match decision.outcome {
        Outcome::Forward(_) => Ok(decision.trace.shadowed.map(|rejection| rejection.reason)),
        Outcome::Reject(rejection) => Err(rejection.reason),
        Outcome::Answer(_) => panic!("{target} is a route"),
    }
}

#[test]
fn it_covers_the_tokens_of_the_issuer() {
    for target in ["/any", "/new"] {
        assert_eq!(outcome("https://new.test", "RS256", "rsa", target), Ok(Some(Reason::ScopeMissing)), "{target}");
    }
}

#[test]
fn it_does_not_cover_tokens_of_others() {
    assert_eq!(outcome("https://old.test", "ES256", "p256", "/any"), Err(Reason::ScopeMissing));
}

#[test]
fn it_does_not_cover_tokens_that_only_name_the_issuer() {
    let forged = outcome("https://new.test", "RS256", "stranger-rsa", "/any");
    assert!(matches!(forged, Err(Reason::TokenSignature | Reason::TokenKeyUnknown)), "{forged:?}");
}

#[test]
fn it_does_not_cover_the_routes_of_others() {
    assert_eq!(outcome("https://new.test", "RS256", "rsa", "/old"), Err(Reason::TokenIssuer));
}
