//! A client's life: from the command line through tokens and requests to the day its tokens are refused.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::fixture::{App, Authority, ME, READ, WRITE, bearer, form_request, json};
use crate::harness::tokens::mint;

/// How long any change may take until the gateway knows of it.
const AT_ONCE: Duration = Duration::from_secs(1);

const READS: [&str; 2] = ["--scope", "users:read"];

#[test]
fn a_client_gets_tokens_everywhere_and_calls_with_them() {
    let authority = Authority::start("  scope_prefix: partner/\n", "");
    let app = authority.create("acme", &["--scope", "users:read", "--role", "editor", "--tenant", "t1"]);
    for (path, fields, form) in [
        ("/oauth2/token", "", app.form()),
        ("/connect/token", "", app.form()),
        ("/oauth2/token", &*app.basic(), String::new()),
        ("/connect/token", &*app.basic(), String::new()),
    ] {
        let answer = authority.post(path, fields, &format!("grant_type=client_credentials&{form}"));
        assert_eq!((answer.status, answer.fields.one("cache-control")), (200, Some("no-store")), "{answer:?}");
        let mut body = json(&answer);
        let token = body.as_object_mut().unwrap().remove("access_token").unwrap();
        let all = "partner/users:read partner/users:write";
        assert_eq!(body, json!({"token_type": "Bearer", "expires_in": 3600, "scope": all}));
        let echo = json(&authority.call(READ, token.as_str().unwrap()));
        let told = ["x-client-id", "x-tenant-id", "x-scopes"].map(|name| echo["headers"][name].as_str().unwrap());
        assert_eq!(told, ["acme", "t1", "users:read users:write"]);
    }

    let answer = authority.ask_token(&app, "&scope=partner/users:read");
    let token = json(&answer)["access_token"].as_str().unwrap().to_owned();
    assert_eq!(json(&answer)["scope"], "partner/users:read");
    let refusal = authority.call(WRITE, &token);
    let id = refusal.fields.one("x-request-id").unwrap();
    let expected = json!({"error": {
        "code": "INSUFFICIENT_SCOPE",
        "message": "Insufficient OAuth scopes for this operation.",
        "details": {"requiredScopes": ["partner/users:write"], "providedScopes": ["partner/users:read"]},
        "requestId": id,
    }});
    assert_eq!((refusal.status, json(&refusal)), (403, expected));
    assert!(refusal.fields.one("www-authenticate").unwrap().contains("scope=\"partner/users:write\""), "{refusal:?}");
    // The role stands for a scope that was not asked for.
    assert_eq!(authority.call("GET /v1/edited", &token).status, 403);
    for scope in ["partner/users:delete", "users:read", "partner/users:read%20%20x"] {
        let refusal = authority.ask_token(&app, &format!("&scope={scope}"));
        assert_eq!((refusal.status, &json(&refusal)["error"]), (400, &json!("invalid_scope")), "{scope}");
    }
}

#[test]
fn what_is_revoked_stays_so_whatever_becomes_of_the_client() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &READS);
    let first = authority.token(&app);
    assert_eq!(authority.call(READ, &first).status, 200);
    authority.client(&["revoke", "acme"]);
    let revoked_at = Instant::now();
    authority.is_refused(&first, "client_revoked");
    assert!(revoked_at.elapsed() < AT_ONCE, "{:?}", revoked_at.elapsed());
    let refusal = authority.ask_token(&app, "");
    assert_eq!((refusal.status, &json(&refusal)["error"]), (401, &json!("invalid_client")));

    authority.client(&["restore", "acme"]);
    let second = authority.token(&app);
    assert_eq!(authority.call(READ, &second).status, 200);
    authority.is_refused(&first, "client_revoked");

    authority.client(&["delete", "acme", "--yes"]);
    let deleted_at = Instant::now();
    authority.is_refused(&second, "client_unknown");
    assert!(deleted_at.elapsed() < AT_ONCE, "{:?}", deleted_at.elapsed());
    let again = authority.create("acme", &READS);
    assert_eq!(authority.ask_token(&app, "").status, 401, "the old secret");
    let third = authority.token(&again);
    assert_eq!(authority.call(READ, &third).status, 200);
    for old in [&first, &second] {
        authority.is_refused(old, "client_revoked");
    }
}

#[test]
fn a_running_token_may_do_what_its_client_still_has() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &["--scope", "users:read", "--role", "editor", "--tenant", "t1"]);
    let token = authority.token(&app);
    let tenant = |answer: &Value| answer["headers"]["x-tenant-id"].clone();
    assert_eq!(tenant(&json(&authority.until(200, "GET /v1/edited", &token))), "t1");

    authority.client(&["edit", "acme", "--no-roles"]);
    assert_eq!(authority.reason(&authority.until(403, "GET /v1/edited", &token)), "role_missing");
    assert_eq!((authority.call(WRITE, &token).status, authority.call(READ, &token).status), (403, 200));
    authority.client(&["edit", "acme", "--scope", "users:write", "--role", "editor"]);
    assert_eq!(authority.until(200, WRITE, &token).status, 200);
    assert_eq!(authority.reason(&authority.call(READ, &token)), "scope_missing");
    authority.client(&["edit", "acme", "--scope", "users:read"]);
    assert_eq!(authority.until(200, READ, &token).status, 200);

    authority.client(&["edit", "acme", "--tenant", "t2"]);
    let refusal = authority.until(403, ME, &token);
    assert_eq!((refusal.code().as_str(), &*authority.reason(&refusal)), ("TENANT_FORBIDDEN", "tenant_missing"));
    authority.client(&["edit", "acme", "--tenant", "t1", "--tenant", "t2"]);
    assert_eq!(tenant(&json(&authority.until(200, ME, &token))), "t1");
}

#[test]
fn a_client_ends_at_its_expiry_date() {
    let authority = Authority::start("", "");
    let expires = Timestamp::from_second(Timestamp::now().as_second() + 2).unwrap();
    let app = authority.create("acme", &["--scope", "users:read", "--expires", &expires.to_string()]);
    let answer = authority.ask_token(&app, "");
    let token = json(&answer)["access_token"].as_str().unwrap().to_owned();
    assert!(json(&answer)["expires_in"].as_i64().unwrap() <= 2, "{answer:?}");
    assert_eq!(authority.until(200, READ, &token).status, 200);
    authority.is_refused(&token, "client_expired");
    assert!(Timestamp::now() >= expires);
    assert_eq!(authority.ask_token(&app, "").status, 401);
    authority.client(&["renew", "acme", "--expires", "2099-12-31"]);
    assert_eq!(authority.ask_token(&app, "").status, 200);
}

#[test]
fn one_token_is_given_back_and_others_are_not() {
    let authority = Authority::start("", "");
    let (app, other) = (authority.create("acme", &READS), authority.create("other", &READS));
    let tokens = [authority.token(&app), authority.token(&app)];
    let described = authority.introspect(&other, &tokens[0]);
    let said = ["active", "client_id", "scope", "iss"].map(|name| &described[name]);
    assert_eq!(said, [&json!(true), &json!("acme"), &json!("users:read"), &json!("http://authority.test")]);
    let revoke = |app: &App| {
        let form = format!("{}&token={}&token_type_hint=access_token", app.form(), tokens[0]);
        authority.post("/oauth2/revoke", "", &form)
    };
    assert_eq!(json(&revoke(&other))["error"], "invalid_grant");
    assert_eq!(authority.until(200, READ, &tokens[0]).status, 200);
    let answer = revoke(&app);
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(authority.call(READ, &tokens[0]).status, 401, "the very next request");
    authority.is_refused(&tokens[0], "token_revoked");
    assert_eq!(authority.introspect(&other, &tokens[0]), json!({"active": false}));
    assert_eq!(authority.call(READ, &tokens[1]).status, 200);
    assert_eq!(authority.introspect(&other, &tokens[1])["active"], true);
}

#[test]
fn a_client_of_another_issuer_is_refused_and_restored() {
    let authority = Authority::start("", "");
    let token = mint(&["--scope", "users:read", "--client", "globex"]);
    assert_eq!(authority.call(READ, &token).status, 200);
    authority.client(&["revoke", "--issuer", "demo", "globex"]);
    let revoked_at = Instant::now();
    authority.is_refused(&token, "client_revoked");
    assert!(revoked_at.elapsed() < AT_ONCE, "{:?}", revoked_at.elapsed());
    assert_eq!(authority.call(READ, &mint(&["--scope", "users:read", "--client", "initech"])).status, 200);
    authority.client(&["restore", "--issuer", "demo", "globex"]);
    assert_eq!(authority.until(200, READ, &token).status, 200);
}

#[test]
fn the_very_next_request_on_a_connection_is_refused() {
    let authority = Authority::start("", "");
    let app = authority.create("acme", &READS);
    let request = bearer(READ, &authority.token(&app), "");
    let mut client = authority.gateway.connect();
    super::fixture::until(&mut client, 200, &request);
    // The token is in the worker's memory by now, and the connection is kept.
    authority.client(&["revoke", "acme"]);
    super::fixture::until(&mut client, 401, &request);
    client.send(form_request("/oauth2/token", "", &format!("grant_type=client_credentials&{}", app.form())));
    assert_eq!(client.receive().status, 401);
}
