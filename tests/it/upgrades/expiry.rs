//! When the token of a tunnel ends: exactly when a request with it would be refused.

use http::{HeaderMap, Method};
use proptest::prelude::*;
use serde_json::json;
use sidegate::config;
use sidegate::core::decision::{Outcome, Trace};
use sidegate::core::head::RequestHead;
use sidegate::core::snapshot::Snapshot;
use sidegate::core::time::UnixSeconds;
use sidegate::core::{self, Facts, KeysAsked, NoMemo};

use crate::support::mint::{jwks, key, mint};

const NOW: i64 = 1_800_000_000;

/// A snapshot with an issuer of these settings, a route for its tokens, one in shadow mode and one for everybody.
fn snapshot(issuer: &str) -> Snapshot {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("jwks.json"), jwks(&["ed"])).unwrap();
    let text = format!(
        "listeners: [{{address: 127.0.0.1:0}}]
issuers: [{{name: demo, issuer: https://issuer.test, audiences: any, keys: {{jwks_file: jwks.json}}, {issuer}}}]
upstreams: {{echo: {{builtin: echo}}}}
routes:
  - {{match: /a, authenticated: true, upstream: echo}}
  - {{match: /shadow, authenticated: true, mode: shadow, upstream: echo}}
  - {{match: /public, public: true, upstream: echo}}
"
    );
    let loaded = config::from_text("config.yaml", &text, directory.path(), &|_| None);
    loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).snapshot
}

/// The trace of a request at that time, if it is let through.
fn let_through(snapshot: &Snapshot, target: &str, token: &str, now: i64) -> Option<Trace> {
    let mut headers = HeaderMap::new();
    headers.insert("host", "h".parse().unwrap());
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    let head = RequestHead { method: &Method::GET, target, headers: (&headers).into() };
    let facts = Facts { memo: &NoMemo, keys: KeysAsked::Already };
    let decision = core::decide(snapshot, &head, &facts, UnixSeconds(now)).expect("nothing is needed");
    matches!(decision.outcome, Outcome::Forward(_)).then_some(decision.trace)
}

fn token(expires: serde_json::Value, issued: serde_json::Value) -> String {
    let claims = json!({ "iss": "https://issuer.test", "client_id": "acme", "exp": expires, "iat": issued });
    mint(&json!({ "alg": "EdDSA", "kid": "ed" }), &claims, key("ed"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tunnel_ends_when_a_request_would_be_refused(
        expires in 1..5000_i64,
        issued in -4000..0_i64,
        leeway in 0..60_i64,
        age_max in proptest::option::of(1..5000_i64),
        fraction in prop_oneof![Just(0.0), Just(0.5)],
    ) {
        let age = age_max.map_or(String::new(), |age| format!(", max_token_age: {age}s"));
        let snapshot = snapshot(&format!("leeway: {leeway}s{age}"));
        let date = |seconds: i64| json!((NOW + seconds) as f64 + fraction);
        let token = token(date(expires), date(issued));
        if let Some(trace) = let_through(&snapshot, "/a", &token, NOW) {
            let ends = core::ends(&snapshot, &trace).expect("a token mattered");
            prop_assert!(ends > UnixSeconds(NOW));
            prop_assert!(let_through(&snapshot, "/a", &token, ends.0 - 1).is_some());
            prop_assert!(let_through(&snapshot, "/a", &token, ends.0).is_none());
        }
    }
}

#[test]
fn where_no_token_matters_none_ends() {
    let snapshot = snapshot("leeway: 0s");
    let token = token(json!(NOW + 60), json!(NOW));
    let ends = |target| core::ends(&snapshot, &let_through(&snapshot, target, &token, NOW).unwrap());
    assert_eq!(ends("/a"), Some(UnixSeconds(NOW + 60)));
    assert_eq!((ends("/shadow"), ends("/public")), (None, None));
}
