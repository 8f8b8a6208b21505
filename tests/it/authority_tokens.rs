//! Tokens of the authority, as others read them: an independent JWT library, and our own core.

use std::collections::HashMap;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::{Value, json};
use sidegate::authority::grant::Grant;
use sidegate::authority::mint;
use sidegate::core::NoMemo;
use sidegate::core::algorithm::Algorithm;
use sidegate::core::scope::Role;
use sidegate::core::snapshot::TokenRequirement;
use sidegate::core::time::UnixSeconds;

use crate::support::authority::{AUDIENCE, ISSUER, client, keyring, settings};
use crate::support::policy::{self, admit, issuer};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

fn now() -> UnixSeconds {
    sidegate::clock::now()
}

#[test]
fn another_library_verifies_tokens_of_each_algorithm() {
    for algorithm in ALGORITHMS {
        let settings = settings(algorithm);
        let keyring = keyring(&settings, now());
        let mut client = client("acme", &["users:read", "users:write"]);
        client.tenants = ["t1".into(), "t2".into()].into();
        let grant = Grant::new(&client, None, &[], &settings, &HashMap::new()).unwrap();
        let issued = mint::issue(&keyring.signer, &settings, &client, &grant, now()).unwrap();

        let header = decode_header(&issued.token).unwrap();
        assert_eq!((header.typ.as_deref(), header.kid.as_deref()), (Some("at+jwt"), Some(keyring.signer.key_id())));
        let keys: JwkSet = serde_json::from_slice(&keyring.jwks).unwrap();
        let key = DecodingKey::from_jwk(keys.find(header.kid.as_deref().unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(algorithm.name().parse().unwrap());
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let mut claims = decode::<Value>(&issued.token, &key, &validation).unwrap().claims;

        let iat = claims["iat"].as_i64().unwrap();
        assert!(claims.as_object_mut().unwrap().remove("jti").unwrap().as_str().unwrap().len() >= 22);
        assert_eq!(
            claims,
            json!({
                "iss": ISSUER, "sub": "acme", "client_id": "acme", "aud": AUDIENCE, "exp": iat + 3600, "iat": iat,
                "scope": "users:read users:write", "tenant_id": ["t1", "t2"], "gen": 7,
            }),
        );
        assert_eq!((issued.expires_in_seconds, &*issued.scope), (3600, "users:read users:write"));
        let set: Value = serde_json::from_slice(&keyring.jwks).unwrap();
        assert_eq!(set["keys"].as_array().unwrap().len(), 2);
        for key in set["keys"].as_array().unwrap() {
            assert_eq!((&key["use"], &key["alg"], key.get("d")), (&json!("sig"), &json!(algorithm.name()), None));
        }
    }
}

#[test]
fn the_core_takes_tokens_of_each_algorithm() {
    for algorithm in ALGORITHMS {
        let settings = settings(algorithm);
        let keyring = keyring(&settings, now());
        let client = client("acme", &["users:read"]);
        let grant = Grant::new(&client, None, &[], &settings, &HashMap::new()).unwrap();
        let issued = mint::issue(&keyring.signer, &settings, &client, &grant, now()).unwrap();

        let trusted = issuer("authority", ISSUER, std::str::from_utf8(&keyring.jwks).unwrap());
        let mut snapshot = policy::snapshot(vec![trusted]);
        let (reads, writes) =
            (policy::scopes(&mut snapshot, &["users:read"]), policy::scopes(&mut snapshot, &["users:write"]));
        let outcome = |requirement: &TokenRequirement| {
            let field = format!("Bearer {}", issued.token);
            let (outcome, trace) = admit(&snapshot, requirement, &[("authorization", &field)], &NoMemo, now().0);
            (outcome.map_err(|rejection| rejection.reason.label()), trace)
        };
        let (passed, trace) = outcome(&reads);
        assert_eq!((passed, trace.principal.unwrap().client_id.as_deref()), (Ok(()), Some("acme")));
        assert_eq!(outcome(&writes).0, Err("scope_missing"));
    }
}

#[test]
fn a_token_does_not_outlive_its_client_and_no_two_are_the_same() {
    let settings = settings(Algorithm::EdDsa);
    let keyring = keyring(&settings, now());
    let mut client = client("acme", &["users:read"]);
    client.expires_at = now().plus(60);
    let grant = Grant::new(&client, None, &[], &settings, &HashMap::new()).unwrap();
    let issue = || mint::issue(&keyring.signer, &settings, &client, &grant, client.expires_at.plus(-10)).unwrap();
    assert_eq!(issue().expires_in_seconds, 10);
    assert_ne!(issue().token, issue().token);
}

#[test]
fn what_is_granted_is_what_the_client_has() {
    let mut settings = settings(Algorithm::EdDsa);
    settings.scope_prefix = "acme/".into();
    let role = |scopes: &[&str]| Role { includes: [].into(), scopes: scopes.iter().map(|s| Box::from(*s)).collect() };
    let roles = HashMap::from([
        ("reader".into(), role(&["users:read"])),
        ("keeper".into(), role(&["users:read", "users:write"])),
        ("bare".into(), role(&[])),
    ]);
    let mut client = client("acme", &["sidegate.clients:read", "jobs:run"]);
    client.roles = ["bare".into(), "gone".into(), "keeper".into(), "reader".into()].into();
    let all = "jobs:run sidegate.clients:read users:read users:write";
    let (api, control) = (AUDIENCE, ISSUER);
    type Outcome<'a> = Result<(&'a str, &'a str, &'a [&'a str]), &'a str>;
    let cases: [(Option<&str>, &[&str], Outcome<'_>); 13] = [
        (None, &[], Ok((all, "bare keeper reader", &[api, control]))),
        (Some("acme/users:read"), &[], Ok(("users:read", "bare reader", &[api]))),
        (Some("acme/users:write acme/users:read"), &[], Ok(("users:read users:write", "bare keeper reader", &[api]))),
        (Some("acme/sidegate.clients:read"), &[], Ok(("sidegate.clients:read", "bare", &[control]))),
        (Some("users:read"), &[], Err("invalid_scope")),
        (Some("acme/users:delete"), &[], Err("invalid_scope")),
        (Some("acme/users:read acme/users:delete"), &[], Err("invalid_scope")),
        (Some("acme/"), &[], Err("invalid_scope")),
        (None, &[api], Ok(("jobs:run users:read users:write", "bare keeper reader", &[api]))),
        (None, &[control], Ok(("sidegate.clients:read", "bare", &[control]))),
        (None, &[api, control], Ok((all, "bare keeper reader", &[api, control]))),
        (None, &["https://other.test"], Err("invalid_target")),
        (Some("acme/users:read"), &[control], Err("invalid_target")),
    ];
    for (asked, resources, expected) in cases {
        let asked_set = asked.map(|asked| asked.split(' ').map(Box::from).collect());
        let resources: Vec<Box<str>> = resources.iter().map(|resource| Box::from(*resource)).collect();
        let granted = Grant::new(&client, asked_set.as_ref(), &resources, &settings, &roles);
        let found = granted.map(|grant| (grant.scopes.join(" "), grant.roles.join(" "), grant.audiences));
        let found = found.as_ref().map(|(scopes, roles, audiences)| {
            (&**scopes, &**roles, audiences.iter().map(|audience| &**audience).collect::<Vec<_>>())
        });
        let expected = expected.map(|(scopes, roles, audiences)| (scopes, roles, audiences.to_vec()));
        assert_eq!(found.map_err(|error| error.code.name()), expected, "{asked:?} {resources:?}");
    }
}
