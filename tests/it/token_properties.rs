//! Properties of the token path: it agrees with another implementation, no bit of a token can be changed, and what is
//! remembered changes no answer.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::Jwk;
use proptest::prelude::*;
use serde_json::{Value, json};
use sidegate::core::bearer;
use sidegate::core::keyset::{Algorithm, Keyset};
use sidegate::core::snapshot::{Issuer, IssuerId, Issuers, Snapshot, TokenRequirement};
use sidegate::core::token::{DecodedToken, UnverifiedToken};
use sidegate::core::{Facts, KeysAsked, Memo, NoMemo};
use sidegate::live::memo::TokenMemo;

use crate::support::memo::{Confused, Everything};
use crate::support::mint::{encode, jwks, jwks_as, key, mint};
use crate::support::policy::{self, issuer};

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
    let Ok(token) = bearer::extract(&headers, usize::MAX).and_then(|bearer| DecodedToken::of(&bearer)) else {
        return false;
    };
    let verified = UnverifiedToken::parse(&token)
        .and_then(|token| token.attribute(issuers()))
        .and_then(|token| token.verify(None));
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

/// A gateway's configuration, as far as trust in tokens depends on it.
#[derive(Debug, Clone)]
struct Trust {
    /// Names of keys, each under its `kid`.
    keys: Vec<(&'static str, &'static str)>,
    algorithms: Vec<Algorithm>,
    fenced: bool,
    fetched: bool,
    place: Place,
}

/// Where the issuer stands among the others.
#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Second,
    Nowhere,
}

impl Trust {
    fn snapshot(&self, number: u64) -> Snapshot {
        let keys = Keyset::parse(jwks_as(&self.keys).as_bytes()).unwrap_or_default();
        let issuer = Issuer {
            keys: keys.into(),
            keys_are_fetched: self.fetched,
            algorithms: self.algorithms.iter().copied().collect(),
            clients: self.fenced.then(|| ["acme".into()].into()),
            ..issuer("issuer", "https://issuer.test", &jwks(&["ed"]))
        };
        let other = policy::issuer("other", "https://other.test", &jwks(&["ed", "p256"]));
        let issuers = match self.place {
            Place::First => vec![issuer, other],
            Place::Second => vec![other, issuer],
            Place::Nowhere => vec![other],
        };
        Snapshot { number, ..policy::snapshot(issuers) }
    }
}

fn trust() -> impl Strategy<Value = Trust> {
    // Two keys share the name `ed`, and one key has two names.
    let keys = [("ed", "ed"), ("stranger-ed", "ed"), ("p256", "p256"), ("p256", "ed"), ("p256-2", "p256")];
    let keys = prop::sample::subsequence(keys.to_vec(), 0..=3);
    let algorithms = prop::sample::subsequence(&[Algorithm::EdDsa, Algorithm::Es256][..], 1..=2);
    let place = prop::sample::select(&[Place::First, Place::First, Place::Second, Place::Nowhere][..]);
    (keys, algorithms, any::<bool>(), any::<bool>(), place)
        .prop_map(|(keys, algorithms, fenced, fetched, place)| Trust { keys, algorithms, fenced, fetched, place })
}

fn requirements(snapshot: &mut Snapshot) -> Vec<TokenRequirement> {
    let tenant = TokenRequirement { tenant_required: Some(true), ..TokenRequirement::default() };
    let of_first = TokenRequirement { issuers: Some([IssuerId(0)].into()), ..TokenRequirement::default() };
    vec![
        TokenRequirement::default(),
        tenant,
        of_first,
        policy::scopes(snapshot, &["a"]),
        policy::scopes(snapshot, &["b"]),
    ]
}

fn tokens() -> Vec<String> {
    let claims = |client: &str, scope: &str, exp: i64, tenant: Value| {
        json!({
            "iss": "https://issuer.test", "aud": "https://api.test", "sub": client, "client_id": client,
            "scope": scope, "exp": NOW + exp, "tenant_id": tenant,
        })
    };
    let kid = |kid: &str| Some(kid.to_owned());
    let all = [
        ("ed", kid("ed"), claims("acme", "a b", 60, json!("t1"))),
        ("ed", None, claims("acme", "a", -60, json!(["t1", "t2"]))),
        ("p256", kid("p256"), claims("acme", "b", 3600, json!(["t1", "t2"]))),
        ("p256", kid("ed"), claims("acme", "a b", 3600, json!("t1"))),
        ("p256-2", None, claims("acme", "a b", 3600, json!("t1"))),
        ("ed", None, claims("globex", "a", 3600, Value::Null)),
        ("stranger-ed", kid("ed"), claims("acme", "a b", 3600, json!("t1"))),
    ];
    let mint = |(name, kid, claims): &(&str, Option<String>, Value)| {
        let mut header = json!({ "alg": key(name).algorithm() });
        header.as_object_mut().unwrap().extend(kid.iter().map(|kid| ("kid".to_owned(), json!(kid))));
        mint(&header, claims, key(name))
    };
    all.iter().map(mint).collect()
}

/// All that anybody gets to know of a decision, but for what it cost.
fn answer(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    headers: &[(&str, &str)],
    facts: &Facts<'_>,
    now: i64,
) -> impl PartialEq + std::fmt::Debug + use<> {
    let (outcome, trace) = policy::admit_with(snapshot, requirement, headers, facts, now);
    let tenant = trace.tenant().cloned();
    let principal = trace.principal.map(|principal| {
        (principal.snapshot, principal.issuer, principal.client_id.clone(), principal.scope_names.clone())
    });
    (outcome, principal, tenant, trace.authenticated, trace.key_missing)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_memo_changes_no_answer(
        first in trust(),
        requests in prop::collection::vec(
            (prop::option::weighted(0.4, trust()), 0..7_usize, 0..5_usize, -100..4000_i64, prop::option::of("t[123]"), 0..3_usize),
            1..40,
        ),
    ) {
        let (mut number, tokens) = (1, tokens());
        let memos: [&dyn Memo; 3] = [&Everything::default(), &TokenMemo::new(1 << 20), &Confused::default()];
        let mut snapshot = first.snapshot(number);
        for (changed, token, route, elapsed, tenant, keys) in requests {
            if let Some(trust) = changed {
                number += 1;
                snapshot = trust.snapshot(number);
            }
            let requirements = requirements(&mut snapshot);
            let authorization = format!("Bearer {}", tokens[token]);
            let mut headers = vec![("authorization", &*authorization)];
            headers.extend(tenant.as_deref().map(|tenant| ("x-tenant-id", tenant)));
            let keys = [KeysAsked::NotYet, KeysAsked::Already, KeysAsked::TooMany][keys];
            let ask = |memo| answer(&snapshot, &requirements[route], &headers, &Facts { memo, keys }, NOW + elapsed);
            let expected = ask(&NoMemo);
            for memo in memos {
                prop_assert_eq!(&ask(memo), &expected);
            }
        }
    }
}
