//! `private_key_jwt`, with assertions that an independent library has signed.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::fixture::{Fixture, NOW};
use crate::authority::seal;
use crate::authority::signer::NewKey;
use crate::authority::store::{KeyPhase, StoredKey};
use crate::config::authority::Endpoint;
use crate::core::algorithm;

fn key(algorithm: algorithm::Algorithm) -> StoredKey {
    NewKey::generate(algorithm).unwrap().stored(KeyPhase::Current, NOW)
}

fn sign(key: &StoredKey, claims: &Value) -> String {
    let private = seal::open(key, None).unwrap();
    let (algorithm, private) = match key.algorithm {
        algorithm::Algorithm::Es256 => (Algorithm::ES256, EncodingKey::from_ec_der(&private)),
        _ => (Algorithm::EdDSA, EncodingKey::from_ed_der(&private)),
    };
    let header = Header { kid: Some(key.key_id.to_string()), ..Header::new(algorithm) };
    encode(&header, claims, &private).unwrap()
}

fn claims(jti: &str) -> Value {
    json!({
        "iss": "acme", "sub": "acme", "aud": "https://authority.test/connect/token", "exp": NOW.0 + 60, "iat": NOW.0,
        "jti": jti,
    })
}

fn asks(assertion: &str) -> String {
    format!(
        "grant_type=client_credentials&client_assertion={assertion}&client_assertion_type=\
         urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
    )
}

async fn authority(key: &StoredKey) -> Fixture {
    let authority = Fixture::start().await;
    let jwks = format!(r#"{{"keys":[{}]}}"#, key.public_jwk);
    authority
        .client("acme", |client| {
            client.secrets.clear();
            client.jwks = Some(jwks.into());
        })
        .await;
    authority
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    for algorithm in [algorithm::Algorithm::EdDsa, algorithm::Algorithm::Es256] {
        let key = key(algorithm);
        let authority = authority(&key).await;
        let body = asks(&sign(&key, &claims("1")));
        assert_eq!(authority.post(Endpoint::Token, &body).await.0, 200);
        assert_eq!(authority.post(Endpoint::Token, &body).await.0, 401);
        let again = asks(&sign(&key, &claims("2"))) + "&client_id=acme";
        assert_eq!(authority.post(Endpoint::Token, &again).await.0, 200);
        let mut later = authority.call(Endpoint::Token, &body);
        later.now = NOW.plus(119);
        assert_eq!(authority.service.answer(later).await.status(), 401);
    }
}

#[tokio::test]
async fn assertions_that_say_something_else_are_refused() {
    let key = key(algorithm::Algorithm::EdDsa);
    let stranger = self::key(algorithm::Algorithm::EdDsa);
    let authority = authority(&key).await;
    authority.client("other", |_| {}).await;
    let with = |name: &str, value: Value| {
        let mut claims = claims(&format!("{name} {value}"));
        claims[name] = value;
        claims
    };
    let good = [
        with("aud", json!("https://authority.test")),
        with("aud", json!(["https://x.test", "https://authority.test/oauth2/token"])),
        with("exp", json!(NOW.0 + 3600)),
        with("nbf", json!(NOW.0)),
        with("iat", json!(NOW.0 as f64 + 0.5)),
    ];
    for claims in good {
        assert_eq!(authority.post(Endpoint::Token, &asks(&sign(&key, &claims))).await.0, 200, "{claims}");
    }
    let bad = [
        with("iss", json!("other")),
        with("sub", json!("other")),
        with("sub", Value::Null),
        with("aud", json!("https://api.test")),
        with("aud", json!("https://authority.test/oauth2/introspect")),
        with("aud", json!([])),
        with("aud", Value::Null),
        with("exp", Value::Null),
        with("exp", json!("soon")),
        with("exp", json!(NOW.0 - 60)),
        with("exp", json!(NOW.0 + 3661)),
        with("exp", json!(NOW.0 * 1000)),
        with("iat", json!(NOW.0 + 61)),
        with("nbf", json!(NOW.0 + 61)),
        with("nbf", json!("x")),
        with("jti", Value::Null),
        with("jti", json!("")),
        with("jti", json!("x".repeat(257))),
        with("jti", json!(7)),
    ];
    for (n, claims) in bad.iter().enumerate() {
        let mut call = authority.call(Endpoint::Token, &asks(&sign(&key, claims)));
        call.peer = std::net::IpAddr::from([10, 0, 0, u8::try_from(n).unwrap()]);
        assert_eq!(authority.service.answer(call).await.status(), 401, "{claims}");
    }
    let renamed = StoredKey { key_id: key.key_id.clone(), ..stranger.clone() };
    let mismatch = asks(&sign(&key, &claims("m"))) + "&client_id=other";
    let unsigned = {
        let token = sign(&key, &claims("u"));
        asks(&token[..=token.rfind('.').unwrap()])
    };
    for body in
        [asks(&sign(&stranger, &claims("s"))), asks(&sign(&renamed, &claims("r"))), mismatch, unsigned, asks("x")]
    {
        assert_eq!(authority.post(Endpoint::Token, &body).await.0, 401);
    }
}

#[test]
fn there_is_a_decoy_for_every_algorithm() {
    let decoy = crate::core::keyset::Keyset::parse(include_bytes!("../decoy.jwks.json")).unwrap();
    let served: Vec<_> = decoy.iter().flat_map(|key| key.algorithms().iter().collect::<Vec<_>>()).collect();
    assert!(algorithm::Algorithm::ALL.iter().all(|algorithm| served.contains(algorithm)));
}
