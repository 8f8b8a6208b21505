//! Properties of the token path: it agrees with another implementation, no bit of a token can be changed, and what is
//! remembered changes no answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use proptest::prelude::*;
use serde_json::{Value, json};
use sidegate::core::bearer::{self, BearerToken};
use sidegate::core::claims::Principal;
use sidegate::core::snapshot::{Issuers, Snapshot, TokenRequirement};
use sidegate::core::token::UnverifiedToken;
use sidegate::core::{Memo, NoMemo};

use crate::support::mint::{encode, jwks, key, mint};
use crate::support::policy::{self, admit, issuer};

const NOW: i64 = 1_790_000_000;

const SIGNERS: [(&str, &str); 9] = [
    ("rsa", "RS256"),
    ("rsa", "RS384"),
    ("rsa", "RS512"),
    ("rsa", "PS256"),
    ("rsa", "PS384"),
    ("rsa", "PS512"),
    ("p256", "ES256"),
    ("p384", "ES384"),
    ("ed", "EdDSA"),
];

fn issuers() -> &'static Issuers {
    static ISSUERS: OnceLock<Issuers> = OnceLock::new();
    let keys = || jwks(&["rsa", "p256", "p384", "ed"]);
    ISSUERS.get_or_init(|| Issuers::new(vec![issuer("issuer", "https://issuer.test", &keys())]))
}

/// Whether we take the signature of these bytes for good.
fn we_verify(token: &[u8]) -> bool {
    let Ok(field) = HeaderValue::from_bytes(&[b"Bearer ", token].concat()) else { return false };
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, field)]);
    let verified = bearer::extract(&headers, usize::MAX)
        .and_then(|bearer| UnverifiedToken::parse(&bearer))
        .and_then(|token| token.verify(issuers()));
    verified.is_ok()
}

/// Whether jsonwebtoken takes it for good.
fn they_verify(token: &str, key_name: &str, algorithm: &str) -> bool {
    let jwk: Jwk = serde_json::from_value(key(key_name).jwk()).unwrap();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let decoding = DecodingKey::from_jwk(&jwk).unwrap();
    let verified = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &decoding, algorithm.parse().unwrap());
    verified.unwrap_or(false)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e15..1e15).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(any::<String>(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn we_and_jsonwebtoken_agree_on_every_signature(
        claims in prop::collection::hash_map("[a-z]{1,8}", json_value(), 0..8),
        signer in prop::sample::select(&SIGNERS[..]),
        tampering in prop::option::of((any::<prop::sample::Index>(), 1_u8..)),
    ) {
        let (name, algorithm) = signer;
        let mut claims = Value::Object(claims.into_iter().collect());
        claims["iss"] = json!("https://issuer.test");
        let header = json!({ "alg": algorithm, "kid": name });
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let mut signature = key(name).sign(algorithm, signed.as_bytes());
        if let Some((index, bits)) = tampering {
            *index.get_mut(&mut signature) ^= bits;
        }
        let token = format!("{signed}.{}", encode(signature));
        let theirs = they_verify(&token, name, algorithm);
        prop_assert_eq!(we_verify(token.as_bytes()), theirs);
        prop_assert_eq!(theirs, tampering.is_none());
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed(
        signer in prop::sample::select(&SIGNERS[..]),
        index in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (name, algorithm) = signer;
        let claims = json!({ "iss": "https://issuer.test", "sub": "acme", "exp": NOW + 60, "scope": "a b" });
        let mut token = mint(&json!({ "alg": algorithm, "kid": name, "typ": "JWT" }), &claims, key(name)).into_bytes();
        prop_assert!(we_verify(&token));
        *index.get_mut(&mut token) ^= 1_u8 << bit;
        prop_assert!(!we_verify(&token), "{}", String::from_utf8_lossy(&token));
    }

    #[test]
    fn no_header_value_makes_a_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let value = [b"Bearer ".as_slice(), &value].concat();
        we_verify(&value);
    }

    #[test]
    fn no_parts_make_a_panic(header in json_value(), claims in json_value(), signature in any::<Vec<u8>>()) {
        let token = format!("{}.{}.{}", encode(header.to_string()), encode(claims.to_string()), encode(signature));
        prop_assert!(!we_verify(token.as_bytes()));
    }
}

/// A memo that forgets nothing.
#[derive(Default)]
struct Everything(Mutex<HashMap<String, Arc<Principal>>>);

impl Memo for Everything {
    fn recall(&self, token: &BearerToken<'_>) -> Option<Arc<Principal>> {
        self.0.lock().unwrap().get(token.reveal()).cloned()
    }
    fn remember(&self, token: &BearerToken<'_>, principal: &Arc<Principal>) {
        self.0.lock().unwrap().insert(token.reveal().to_owned(), Arc::clone(principal));
    }
}

/// A gateway before and after a reload that takes trust away, and the routes of both.
fn gateways() -> [(Snapshot, Vec<TokenRequirement>); 2] {
    [1, 2].map(|number| {
        let mut issuer =
            issuer("issuer", "https://issuer.test", &jwks(if number == 1 { &["ed", "p256"] } else { &["ed"] }));
        issuer.clients = (number == 2).then(|| ["acme".into()].into());
        let mut snapshot = policy::snapshot(vec![issuer]);
        snapshot.number = number;
        let requirements = vec![
            TokenRequirement::default(),
            TokenRequirement { tenant_required: Some(true), ..TokenRequirement::default() },
            policy::scopes(&mut snapshot, &["a"]),
            policy::scopes(&mut snapshot, &["b"]),
        ];
        (snapshot, requirements)
    })
}

fn tokens() -> Vec<String> {
    let claims = |client: &str, scope: &str, exp: i64, tenant: Value| {
        json!({
            "iss": "https://issuer.test", "aud": "https://api.test", "sub": client, "client_id": client,
            "scope": scope, "exp": NOW + exp, "tenant_id": tenant,
        })
    };
    let all = [
        ("ed", claims("acme", "a b", 60, json!("t1"))),
        ("ed", claims("acme", "a", -60, json!(["t1", "t2"]))),
        ("p256", claims("acme", "b", 3600, json!(["t1", "t2"]))),
        ("ed", claims("globex", "a", 3600, Value::Null)),
        ("stranger-ed", claims("acme", "a b", 3600, json!("t1"))),
    ];
    let mint = |(name, claims): &(&str, Value)| mint(&json!({ "alg": key(name).algorithm() }), claims, key(name));
    all.iter().map(mint).collect()
}

proptest! {
    #[test]
    fn a_memo_changes_no_answer(
        requests in prop::collection::vec((0..5_usize, 0..4_usize, 0..2_usize, -100..4000_i64, prop::option::of("t[123]")), 1..40),
    ) {
        let (gateways, tokens, memo) = (gateways(), tokens(), Everything::default());
        for (token, route, gateway, elapsed, tenant) in requests {
            let (snapshot, requirements) = &gateways[gateway];
            let authorization = format!("Bearer {}", tokens[token]);
            let mut headers = vec![("authorization", &*authorization)];
            headers.extend(tenant.as_deref().map(|tenant| ("x-tenant-id", tenant)));
            let ask = |memo| {
                let (outcome, trace) = admit(snapshot, &requirements[route], &headers, memo, NOW + elapsed);
                (outcome, trace.tenant, trace.authenticated)
            };
            prop_assert_eq!(ask(&memo as &dyn Memo), ask(&NoMemo));
        }
    }
}
