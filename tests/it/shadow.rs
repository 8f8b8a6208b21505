//! Shadow mode: what it lets through and how, and what it does not.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};
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
identity: { tenant: { header: X-Tenant-Id, required: true, select: true } }
routes:
  - { match: GET /shadow, scopes: [a], mode: shadow, upstream: echo }
  - { match: GET /any, scopes: [a], upstream: echo }
  - { match: GET /new, scopes: [a], issuers: [new], upstream: echo }
  - { match: GET /old, scopes: [a], issuers: [old], upstream: echo }
";

const X_TENANT_ID: HeaderName = HeaderName::from_static("x-tenant-id");

fn snapshot() -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("new.json"), jwks(&["rsa"])).unwrap();
    std::fs::write(directory.path().join("old.json"), jwks(&["p256"])).unwrap();
    config::from_text("shadow.yaml", CONFIG, directory.path(), &|_| None).unwrap().snapshot
}

/// What becomes of a token without any scope: refused, or let through in spite of the reason.
fn outcome(iss: &str, algorithm: &str, signer: &str, target: &str) -> Result<Option<Reason>, Reason> {
    let header = json!({ "alg": algorithm, "kid": signer, "typ": "at+jwt" });
    let claims =
        json!({ "iss": iss, "aud": "https://api.test", "client_id": "acme", "tenant_id": "t1", "exp": NOW.0 + 60 });
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

/// The tenant that a backend is told of, or why the request is refused all the same: of a token without the scope that names
/// these tenants, of a client that asks for those.
fn tenant(claimed: &Value, asked: &[&'static str]) -> Result<Option<String>, Reason> {
    let header = json!({ "alg": "ES256", "kid": "p256", "typ": "at+jwt" });
    let claims = json!({ "iss": "https://old.test", "aud": "https://api.test", "client_id": "acme", "exp": NOW.0 + 60,
        "tenant_id": claimed });
    let mut headers = headers(&mint(&header, &claims, key("p256")));
    headers.remove(X_TENANT_ID);
    headers.extend(asked.iter().map(|tenant| (X_TENANT_ID, HeaderValue::from_static(tenant))));
    let decision = decide(&snapshot(), &NoMemo, &headers, "/shadow");
    match decision.outcome {
        Outcome::Forward(permit) => {
            assert_eq!(decision.trace.shadowed.map(|rejection| rejection.reason), Some(Reason::ScopeMissing));
            Ok(permit.tenant().map(|tenant| tenant.to_str().unwrap().to_owned()))
        }
        Outcome::Reject(rejection) => {
            assert!(decision.trace.shadowed.is_none());
            Err(rejection.reason)
        }
        Outcome::Answer(_) => panic!("it is a route"),
    }
}

#[test]
fn a_backend_is_told_the_tenant_as_it_will_be() {
    assert_eq!(tenant(&json!("t1"), &[]), Ok(Some("t1".into())));
    assert_eq!(tenant(&json!(["t1", "t2"]), &["t2"]), Ok(Some("t2".into())));
    // What would have been refused as well.
    assert_eq!(tenant(&json!(["t1", "t2"]), &["t3"]), Ok(None));
    assert_eq!(tenant(&json!(null), &[]), Ok(None));
    assert_eq!(tenant(&json!(["t1", "t2"]), &["t1", "t2"]), Err(Reason::RequestMalformed), "always enforced");
}
