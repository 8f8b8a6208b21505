//! Key sets: which keys are usable, and what a set without any says.

use serde_json::{Value, json};
use sidegate::core::keyset::{Algorithm, KEYS_MAX, KEYSET_BYTES_MAX, Keyset, KeysetError};

use crate::support::mint::{encode, jwks, key};

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn parse(keys: &[Value]) -> Result<Keyset, KeysetError> {
    Keyset::parse(set(keys).as_bytes())
}

/// The key of this name with some members changed; `null` takes one away.
fn with(name: &str, changes: Value) -> Value {
    let mut jwk = key(name).jwk();
    for (member, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(member)),
            value => jwk[member] = value.clone(),
        }
    }
    jwk
}

fn algorithms(jwk: Value) -> Vec<&'static str> {
    let keyset = parse(&[jwk]).unwrap();
    keyset.iter().next().unwrap().algorithms().iter().map(Algorithm::name).collect()
}

#[test]
fn a_key_serves_what_its_type_is_fit_for_or_what_its_alg_says() {
    assert_eq!(algorithms(key("rsa").jwk()), ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]);
    assert_eq!(algorithms(key("p256").jwk()), ["ES256"]);
    assert_eq!(algorithms(key("p384").jwk()), ["ES384"]);
    assert_eq!(algorithms(key("ed").jwk()), ["EdDSA"]);
    assert_eq!(algorithms(with("rsa", json!({ "alg": "PS384" }))), ["PS384"]);
    assert_eq!(algorithms(with("p256", json!({ "alg": "ES256", "use": "sig", "key_ops": ["verify"] }))), ["ES256"]);
}

#[test]
fn certificates_and_unknown_members_of_a_key_are_not_looked_at() {
    let extras = json!({ "x5c": ["garbage"], "x5u": "https://evil.test", "jku": 7, "x5t": "x", "ext": true, "exp": 1 });
    assert_eq!(algorithms(with("ed", extras)), ["EdDSA"]);
}

#[test]
fn a_zero_byte_before_an_rsa_modulus_does_no_harm() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let modulus = URL_SAFE_NO_PAD.decode(key("rsa").jwk()["n"].as_str().unwrap()).unwrap();
    let padded = encode([&[0], modulus.as_slice()].concat());
    assert_eq!(algorithms(with("rsa", json!({ "n": padded }))).len(), 6);
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    let number = |bytes: usize| encode(vec![0xc1; bytes]);
    let table = [
        (json!("text"), "it is not an object"),
        (json!({}), "it has no string kty"),
        (json!({ "kty": "oct", "k": "c2VjcmV0" }), "its kty \"oct\" is not RSA, EC or OKP"),
        (with("rsa", json!({ "kid": 1 })), "its kid is not a string"),
        (with("rsa", json!({ "kid": "k".repeat(257) })), "its kid is longer than 256 bytes"),
        (with("rsa", json!({ "use": "enc" })), "its use is not sig"),
        (with("rsa", json!({ "use": 1 })), "its use is not sig"),
        (with("rsa", json!({ "key_ops": ["encrypt"] })), "its key_ops do not include verify"),
        (with("rsa", json!({ "key_ops": "verify" })), "its key_ops do not include verify"),
        (with("rsa", json!({ "d": "AQAB" })), "it holds a private key"),
        (with("rsa", json!({ "alg": "RSA-OAEP" })), "its alg \"RSA-OAEP\" is not one that is verified"),
        (with("rsa", json!({ "alg": "HS256" })), "its alg \"HS256\" is not one that is verified"),
        (with("rsa", json!({ "alg": 1 })), "its alg is not a string"),
        (with("rsa", json!({ "alg": "ES256" })), "its alg does not fit its kty and crv"),
        (with("p256", json!({ "alg": "ES384" })), "its alg does not fit its kty and crv"),
        (with("rsa", json!({ "n": number(128) })), "its modulus has 1024 bits and not 2048 to 8192"),
        (with("rsa", json!({ "n": number(1025) })), "its modulus has 8200 bits and not 2048 to 8192"),
        (with("rsa", json!({ "n": "" })), "its modulus has 0 bits and not 2048 to 8192"),
        (with("rsa", json!({ "n": null })), "it has no string n"),
        (with("rsa", json!({ "n": "AQAB=" })), "its n is not base64url without padding"),
        (with("rsa", json!({ "e": "AQ" })), "its n or e cannot be of an RSA key"),
        (with("rsa", json!({ "e": "Ag" })), "its n or e cannot be of an RSA key"),
        (with("rsa", json!({ "e": "" })), "its n or e cannot be of an RSA key"),
        (with("rsa", json!({ "e": number(256) })), "its n or e cannot be of an RSA key"),
        (
            with("rsa", json!({ "n": encode([vec![0xc1; 255], vec![0xc0]].concat()) })),
            "its n or e cannot be of an RSA key",
        ),
        (with("p256", json!({ "crv": "P-521" })), "its crv \"P-521\" is not P-256 or P-384"),
        (with("p256", json!({ "crv": "secp256k1" })), "its crv \"secp256k1\" is not P-256 or P-384"),
        (with("p256", json!({ "crv": "P-384" })), "its x or y has not the length of the curve"),
        (with("p256", json!({ "x": number(31) })), "its x or y has not the length of the curve"),
        (with("p256", json!({ "x": encode([1; 32]), "y": encode([1; 32]) })), "its point is not on the curve"),
        (with("p256", json!({ "x": encode([0; 32]), "y": encode([0; 32]) })), "its point is not on the curve"),
        (with("ed", json!({ "crv": "X25519" })), "its crv \"X25519\" is not Ed25519"),
        (with("ed", json!({ "x": number(31) })), "its x has not the length of the curve"),
    ];
    for (jwk, reason) in table {
        let error = parse(std::slice::from_ref(&jwk)).expect_err(reason).to_string();
        assert!(error.starts_with("the key set has no usable key: key 1") && error.ends_with(reason), "{error}");

        // Beside a usable key it is left out, and the set says so.
        let keyset = parse(&[jwk, key("ed").jwk()]).expect(reason);
        assert_eq!(keyset.iter().map(|key| key.id()).collect::<Vec<_>>(), [Some("ed")]);
        assert!(keyset.ignored().next().unwrap().ends_with(reason));
    }
}

#[test]
fn what_is_no_key_set_is_an_error() {
    let error = |text: &str| Keyset::parse(text.as_bytes()).expect_err(text).to_string();
    assert_eq!(error(r#"{"keys":[]}"#), "the key set is empty");
    for text in ["{}", "[]", "null", r#"{"keys":{}}"#, r#"{"keys":null}"#, r#"{"Keys":[]}"#] {
        assert_eq!(error(text), r#"the key set is not an object with an array "keys""#, "{text}");
    }
    for text in ["", "<html>"] {
        assert!(error(text).starts_with("the key set is not valid JSON: "), "{text}");
    }
    for text in [r#"{"keys":[],"keys":[]}"#, r#"{"keys":[{"kid":"a","kid":"b"}]}"#] {
        assert!(error(text).starts_with("the key set is not JSON that every parser reads alike: "), "{text}");
    }
}

#[test]
fn a_key_set_has_a_largest_size() {
    let padding = " ".repeat(KEYSET_BYTES_MAX);
    assert!(matches!(
        Keyset::parse(format!("{}{padding}", jwks(&["ed"])).as_bytes()),
        Err(KeysetError::TooLarge { .. })
    ));
    let keys = |count: usize| vec![key("ed").jwk(); count];
    assert_eq!(parse(&keys(KEYS_MAX)).unwrap().iter().len(), KEYS_MAX);
    assert!(matches!(parse(&keys(KEYS_MAX + 1)), Err(KeysetError::TooMany { count: 257 })));
}

#[test]
fn a_long_list_of_reasons_is_cut() {
    let error = parse(&vec![json!({ "kty": "oct", "kid": "secret\n" }); 9]).unwrap_err().to_string();
    assert!(error.contains(r#"key 5 (kid "secret\n")"#) && error.ends_with("; and 4 more"), "{error}");
}
