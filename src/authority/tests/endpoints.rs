//! Tokens from issue to revocation.

use std::net::IpAddr;

use http::header::{ALLOW, CACHE_CONTROL, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::fixture::{Fixture, NOW, read};
use crate::authority::Call;
use crate::authority::client::StoredSecret;
use crate::authority::error::Refused;
use crate::authority::secret::SecretHash;
use crate::config::authority::Endpoint;

fn asks(id: &str, secret: &str) -> String {
    format!("grant_type=client_credentials&client_id={id}&client_secret={secret}")
}

#[tokio::test]
async fn a_client_gets_a_token_that_is_active_until_it_is_revoked() {
    let authority = Fixture::start().await;
    let secret = authority.client("acme", |client| client.tenants = ["t1".into()].into()).await;
    let answer = authority.service.answer(authority.call(Endpoint::Token, &asks("acme", &secret))).await;
    assert_eq!(answer.headers()[CACHE_CONTROL], "no-store");
    assert_eq!(answer.headers()[PRAGMA], "no-cache");
    let (status, body) = read(&answer);
    let token = body["access_token"].as_str().unwrap();
    let rest = (&body["token_type"], &body["expires_in"], &body["scope"]);
    assert_eq!((status, rest), (200, (&json!("Bearer"), &json!(3600), &json!("users:read"))));

    let asked = format!("client_id=acme&client_secret={secret}&token={token}&token_type_hint=refresh_token");
    let (status, mut told) = authority.post(Endpoint::Introspect, &asked).await;
    assert!(told.as_object_mut().unwrap().remove("jti").unwrap().is_string());
    let expected = json!({
        "active": true, "client_id": "acme", "sub": "acme", "iss": "https://authority.test",
        "aud": "https://api.test", "exp": NOW.0 + 3600, "iat": NOW.0, "token_type": "Bearer", "scope": "users:read",
        "tenant_id": "t1",
    });
    assert_eq!((status, told), (200, expected));

    let other = authority.client("other", |_| {}).await;
    let foreign = format!("client_id=other&client_secret={other}&token={token}");
    let (status, body) = authority.post(Endpoint::Revoke, &foreign).await;
    assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
    assert_eq!(authority.post(Endpoint::Introspect, &foreign).await.1["active"], true);

    let answer = authority.service.answer(authority.call(Endpoint::Revoke, &asked)).await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
    assert_eq!(authority.post(Endpoint::Introspect, &asked).await, (200, json!({ "active": false })));
    let number = authority.store.number().await.unwrap();
    assert_eq!(authority.post(Endpoint::Revoke, &asked).await.0, 200);
    assert_eq!(authority.store.number().await.unwrap(), number);

    authority.service.flush_used().await.unwrap();
    assert_eq!(authority.store.client("acme").await.unwrap().unwrap().last_used_at, Some(NOW));
}

#[tokio::test]
async fn whatever_is_wrong_about_a_client_the_answer_is_the_same() {
    let authority = Fixture::start().await;
    let right = authority.client("right", |_| {}).await;
    let revoked = authority.client("revoked", |client| client.is_revoked = true).await;
    let expired = authority.client("expired", |client| client.expires_at = NOW).await;
    let replaced = authority.client("replaced", |client| client.secrets[0].expires_at = Some(NOW)).await;
    let signs = authority.client("signs", |client| client.secrets.clear()).await;
    let bodies = [
        asks("nobody", &right),
        asks("right", "wrong"),
        asks("revoked", &revoked),
        asks("expired", &expired),
        asks("replaced", &replaced),
        asks("signs", &signs),
    ];
    let other_credentials = "the client has shown other credentials than its own";
    let told = [
        (None, "there is no such client"),
        (Some("right"), other_credentials),
        (Some("revoked"), "the client is revoked"),
        (Some("expired"), "the client is expired"),
        (Some("replaced"), other_credentials),
        (Some("signs"), other_credentials),
    ];
    for (body, (client_id, detail)) in bodies.into_iter().zip(told) {
        let answer = authority.service.answer(authority.call(Endpoint::Token, &body)).await;
        let refused = Refused { detail: format!("invalid_client: {detail}"), client_id: client_id.map(Box::from) };
        assert_eq!(answer.extensions().get::<Refused>(), Some(&refused), "that is for the log");
        assert_eq!(answer.headers()[WWW_AUTHENTICATE], r#"Basic realm="sidegate""#);
        let expected = json!({ "error": "invalid_client", "error_description": "client authentication failed" });
        assert_eq!(read(&answer), (401, expected), "{body}");
    }
    let two = authority
        .client("two", |client| {
            let first = StoredSecret { expires_at: Some(NOW.plus(1)), ..client.secrets[0].clone() };
            client.secrets.insert(0, StoredSecret { hash: SecretHash::of("old"), ..first });
        })
        .await;
    assert_eq!(authority.post(Endpoint::Token, &asks("two", &two)).await.0, 200);
    assert_eq!(authority.post(Endpoint::Token, &asks("two", "old")).await.0, 200);
}

#[tokio::test]
async fn tokens_of_a_client_that_was_revoked_are_not_active() {
    let authority = Fixture::start().await;
    let secret = authority.client("asks", |_| {}).await;
    let of = authority.client("acme", |_| {}).await;
    let token = authority.token("acme", &of).await;
    let asked = format!("client_id=asks&client_secret={secret}&token={token}");
    let active = async || authority.post(Endpoint::Introspect, &asked).await.1["active"].clone();
    assert_eq!(active().await, true);
    let revoke = |revoked: bool| {
        move |client: Option<crate::authority::client::Client>, number| {
            client.map(|mut client| {
                client.is_revoked = revoked;
                client.generation = if revoked { number } else { client.generation };
                client
            })
        }
    };
    authority.change("acme", revoke(true)).await;
    assert_eq!(active().await, false);
    authority.change("acme", revoke(false)).await;
    assert_eq!(active().await, false);
    authority.change("acme", |_, _| None).await;
    assert_eq!(active().await, false);
}

#[tokio::test]
async fn a_client_that_revokes_one_token_after_the_other_has_to_wait() {
    let authority = Fixture::start().await;
    let secret = authority.client("acme", |_| {}).await;
    let token = authority.token("acme", &secret).await;
    let file = rusqlite::Connection::open(authority.directory.path().join("sidegate.db")).unwrap();
    let sql = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 999) \
               INSERT INTO sidegate_revoked_tokens (jti, client_id, expires_at, number) \
               SELECT 'j' || i, 'acme', $1, 1000000 + i FROM n";
    file.execute(sql, [NOW.0 + 100]).unwrap();
    let revoke = async |token: &str, now| {
        let body = format!("client_id=acme&client_secret={secret}&token={token}");
        authority.service.answer(Call { now, ..authority.call(Endpoint::Revoke, &body) }).await
    };
    assert_eq!(revoke(&token, NOW).await.status(), 200);
    let other = authority.token("acme", &secret).await;
    let (number, answer) = (authority.store.number().await.unwrap(), revoke(&other, NOW).await);
    assert_eq!((read(&answer).0, &answer.headers()[RETRY_AFTER]), (429, &HeaderValue::from_static("100")));
    assert_eq!(read(&answer).1["error"], "rate_limited");
    assert_eq!(authority.store.number().await.unwrap(), number, "the audit log has no row for it");
    assert_eq!(revoke(&token, NOW).await.status(), 200, "it is revoked already");
    assert_eq!(revoke(&other, NOW.plus(100)).await.status(), 200);
}

#[tokio::test]
async fn what_is_no_live_token_of_ours_is_not_active_and_revoking_it_is_no_error() {
    let authority = Fixture::start().await;
    let secret = authority.client("acme", |_| {}).await;
    let token = authority.token("acme", &secret).await;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let altered = format!("{head}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    for wrong in ["x", "a.b.c", &altered, &token[1..], &"a".repeat(20_000)] {
        let body = format!("client_id=acme&client_secret={secret}&token={wrong}");
        assert_eq!(authority.post(Endpoint::Introspect, &body).await, (200, json!({ "active": false })));
        assert_eq!(authority.post(Endpoint::Revoke, &body).await, (200, Value::Null));
    }
    let body = format!("client_id=acme&client_secret={secret}&token={token}");
    let mut late = authority.call(Endpoint::Introspect, &body);
    late.now = NOW.plus(3600);
    assert_eq!(read(&authority.service.answer(late).await), (200, json!({ "active": false })));
    for endpoint in [Endpoint::Introspect, Endpoint::Revoke] {
        let error = async |body: &str| authority.post(endpoint, body).await.1["error"].clone();
        assert_eq!(error(&format!("client_id=acme&client_secret={secret}")).await, "invalid_request");
        assert_eq!(error(&format!("token={token}")).await, "invalid_client");
        assert_eq!(error(&format!("client_id=acme&client_secret=wrong&token={token}")).await, "invalid_client");
    }
}

#[tokio::test]
async fn whoever_guesses_has_to_wait_and_others_have_not() {
    let authority = Fixture::start().await;
    let secret = authority.client("acme", |_| {}).await;
    for _ in 0..10 {
        assert_eq!(authority.post(Endpoint::Token, &asks("acme", "wrong")).await.0, 401);
    }
    let answer = authority.service.answer(authority.call(Endpoint::Token, &asks("acme", &secret))).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()[RETRY_AFTER]), (429, &HeaderValue::from_static("60")));
    let mut elsewhere = authority.call(Endpoint::Token, &asks("acme", &secret));
    elsewhere.peer = IpAddr::from([127, 0, 0, 2]);
    assert_eq!(authority.service.answer(elsewhere).await.status(), 200);
    let mut later = authority.call(Endpoint::Token, &asks("acme", &secret));
    later.now = NOW.plus(60);
    assert_eq!(authority.service.answer(later).await.status(), 200);
}

#[tokio::test]
async fn documents_are_for_everybody_and_can_only_be_read() {
    let authority = Fixture::start().await;
    for endpoint in [Endpoint::OauthMetadata, Endpoint::OpenidConfiguration, Endpoint::Jwks] {
        for (method, status) in [(Method::GET, 200), (Method::HEAD, 200), (Method::POST, 405), (Method::DELETE, 405)] {
            let mut call = authority.call(endpoint, "");
            call.method = method;
            let answer = authority.service.answer(call).await;
            assert_eq!(answer.status(), status);
            match status {
                200 => assert_eq!(answer.headers()[CACHE_CONTROL], "public, max-age=300"),
                _ => assert_eq!(answer.headers()[ALLOW], "GET, HEAD"),
            }
        }
    }
    let mut call = authority.call(Endpoint::OpenidConfiguration, "");
    call.method = Method::GET;
    let (_, document) = read(&authority.service.answer(call).await);
    for (name, value) in [
        ("issuer", "https://authority.test"),
        ("token_endpoint", "https://authority.test/oauth2/token"),
        ("jwks_uri", "https://authority.test/.well-known/jwks.json"),
    ] {
        assert_eq!(document[name], value);
    }
    assert_eq!(document["scopes_supported"], json!(["users:read"]));
}
