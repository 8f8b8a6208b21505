//! A whole decision, from a configuration and a minted token: for what is said of the core as such.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method};
use serde_json::json;
use sidegate::config;
use sidegate::core::decision::Decision;
use sidegate::core::head::RequestHead;
use sidegate::core::snapshot::Snapshot;
use sidegate::core::time::UnixSeconds;
use sidegate::core::{self, Facts, KeysAsked, Memo};

use super::mint::{jwks, key, mint};

/// When the decisions are made.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// The snapshot of `gateway.yaml`.
pub(crate) fn snapshot() -> Arc<Snapshot> {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join("jwks.json"), jwks(&["rsa", "p256", "ed"])).expect("a key set");
    let loaded = config::from_text("gateway.yaml", include_str!("gateway.yaml"), directory.path(), &|_| None);
    Arc::new(loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).snapshot)
}

/// A token of the issuer in `gateway.yaml` that all of its routes let through, signed by the named key.
pub(crate) fn token(algorithm: &str, key_name: &str) -> String {
    token_named(algorithm, key_name, key_name)
}

/// The same, with this `kid`.
pub(crate) fn token_named(algorithm: &str, key_name: &str, kid: &str) -> String {
    let header = json!({ "alg": algorithm, "kid": kid, "typ": "at+jwt" });
    let claims = json!({
        "iss": "https://issuer.test", "aud": "https://api.test", "sub": "acme", "client_id": "acme", "jti": "1", "gen": 7,
        "iat": NOW.0 - 60, "exp": NOW.0 + 3600, "tenant_id": ["t1", "t2"], "roles": ["clerk"],
        "scope": "users:read users:write orders:read files:read ping",
    });
    mint(&header, &claims, key(key_name))
}

/// The header fields of a usual request with this token.
pub(crate) fn headers(token: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com:8443"),
        ("accept", "application/json"),
        ("user-agent", "client/1.0"),
        ("x-tenant-id", "t2"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("authorization", format!("Bearer {token}").parse().expect("a field value"));
    headers
}

/// The decision about a GET of `target`.
pub(crate) fn decide(snapshot: &Snapshot, memo: &dyn Memo, headers: &HeaderMap, target: &str) -> Decision {
    let head = RequestHead { method: &Method::GET, target, headers: headers.into() };
    core::decide(snapshot, &head, &Facts { memo, keys: KeysAsked::NotYet }, NOW).expect("a decision")
}
