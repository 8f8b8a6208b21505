//! What Envoy is answered, by its own protocol definitions and grpcio's client.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{config, exchange, fields};
use crate::harness::backend::{RawBackend, Then};
use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;
use crate::real::peers::outcome;
use crate::support::mint as keys;

/// What is answered to these questions, which `tests/peers/ext_authz_client.py` describes.
fn ask(gateway: &Gateway, questions: &[Value]) -> Vec<Value> {
    ask_at(&gateway.authz_grpc.expect("authz.grpc").to_string(), questions)
}

fn ask_at(target: &str, questions: &[Value]) -> Vec<Value> {
    let questions = Value::from(questions).to_string();
    outcome("ext_authz_client.py", &[target, &questions])["answers"].as_array().unwrap().clone()
}

fn question(method: &str, path: &str, headers: Value) -> Value {
    json!({ "method": method, "path": path, "host": "api.test", "headers": headers })
}

fn bearer(arguments: &[&str]) -> String {
    format!("Bearer {}", mint(arguments))
}

/// Names and values of a list of `HeaderValueOption`.
fn pairs(options: &Value) -> Vec<(&str, &str)> {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    options
        .iter()
        .map(|one| (one["header"]["key"].as_str().unwrap(), one["header"]["value"].as_str().unwrap()))
        .collect()
}

fn denied(answer: &Value) -> (&str, &str) {
    let status = answer["denied_response"]["status"]["code"].as_str().unwrap_or_default();
    (status, answer["dynamic_metadata"]["reason"].as_str().unwrap_or_default())
}

#[test]
fn what_is_allowed_comes_with_instructions() {
    let gateway = Gateway::start(&config().replace("identity:", "identity:\n  authorization: remove"));
    let token = bearer(&[]);
    let headers = json!([
        ["authorization", token],
        ["x-client-id", "evil"],
        ["x_tenant.id", "evil"],
        ["x-request-id", "r-1"],
        [":path", "/v1/users/7"],
        ["proxy", "evil"],
        ["x-forwarded-proto", "https"],
        ["x_forwarded_for", "evil"]
    ]);
    let answers = ask(&gateway, &[question("GET", "/v1/users/7", headers)]);
    let (status, ok) = (&answers[0]["status"], &answers[0]["ok_response"]);
    assert_eq!(status, &json!({}), "{answers:?}");
    let mut set = pairs(&ok["headers"]);
    set.sort_unstable();
    let expected = [
        ("x-client-id", "acme"),
        ("x-request-id", "r-1"),
        ("x-scopes", "users:read"),
        ("x-subject", "acme"),
        ("x-tenant-id", "t1"),
    ];
    assert_eq!(set, expected);
    let actions = ok["headers"].as_array().unwrap().iter().map(|one| one["append_action"].as_str().unwrap());
    assert!(actions.into_iter().all(|action| action == "OVERWRITE_IF_EXISTS_OR_ADD"));
    let removed: Vec<&str> =
        ok["headers_to_remove"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    for name in [
        "x_tenant.id",
        "x_tenant_id",
        "x-roles",
        "authorization",
        "proxy",
        "x_forwarded_for",
        "x-original-url",
        "x-http-method-override",
    ] {
        assert!(removed.contains(&name), "{name} in {removed:?}");
    }
    // Envoy takes out last: what is set must not be in the list.
    for (name, _) in &set {
        assert!(!removed.contains(name), "{name} in {removed:?}");
    }
    assert!(!removed.contains(&"x-forwarded-proto"));
    let metadata = &answers[0]["dynamic_metadata"];
    let expected = json!({ "client": "acme", "tenant": "t1", "scopes": ["users:read"], "route": "GET /v1/users/{id}", "request_id": "r-1" });
    assert_eq!(metadata, &expected);
    assert!(!answers[0].to_string().contains(&token));
    let entry = gateway.access_log_entry(|entry| entry["request_id"] == "r-1");
    assert_eq!((&entry["status"], &entry["peer"]), (&json!(200), &json!("192.0.2.7")), "{entry}");
}

#[test]
fn what_is_refused_is_answered_as_by_the_proxy() {
    let gateway = Gateway::start(&config());
    let (wrong, expired) = (bearer(&["--scope", "other"]), bearer(&["--expires-in", "-3600"]));
    let cases = [
        ("GET", "/v1/users/7", None),
        ("GET", "/v1/users/7", Some(&wrong)),
        ("GET", "/v1/users/7", Some(&expired)),
        ("DELETE", "/v1/users/7", None),
        ("GET", "/nothing", None),
        ("GET", "/a//b", None),
    ];
    let mut headers: Vec<Vec<(&str, &str)>> = Vec::new();
    for (_, _, token) in &cases {
        let token = token.map(|token| ("authorization", token.as_str()));
        headers.push(std::iter::once(("x-request-id", "same")).chain(token).collect());
    }
    let questions =
        cases.iter().zip(&headers).map(|((method, path, _), headers)| question(method, path, json!(headers)));
    let answers = ask(&gateway, &questions.collect::<Vec<_>>());
    for (((method, path, _), headers), answer) in cases.iter().zip(&headers).zip(&answers) {
        let direct = exchange(gateway.address(), &format!("{method} {path}"), &fields(headers));
        let denied = &answer["denied_response"];
        assert_eq!(denied["body"], direct.body.as_str(), "{method} {path}");
        assert_eq!(answer["status"]["code"], 7);
        for (name, value) in pairs(&denied["headers"]) {
            assert_eq!(direct.field(name), Some(value), "{method} {path}: {name}");
        }
        let told = denied["headers"].as_array().unwrap().len();
        // What is missing is the framing, which is Envoy's.
        let framing =
            ["content-length", "connection", "date"].iter().filter(|name| direct.field(name).is_some()).count();
        assert_eq!(told + framing, direct.head.lines().count() - 1, "{direct:?} {denied}");
    }
}

#[test]
fn what_cannot_be_read_is_a_verdict_all_the_same() {
    let gateway = Gateway::start(&config());
    let not_utf8 =
        json!({ "method": "GET", "path": "/healthz", "host": "a", "headers": [["x-a", "\u{ff}"]], "raw": true });
    let twice = json!({ "method": "GET", "path": "/v1/users/7", "host": "a", "raw": true,
        "headers": [["authorization", "Bearer a"], ["authorization", "Bearer b"]] });
    // A message with `attributes.request.http.headers` = {"x": 0xff}, which is not UTF-8.
    let entry = "\u{0a}\u{01}x\u{12}\u{01}\u{ff}";
    let inner = format!("\u{12}\u{03}GET\u{22}\u{08}/healthz\u{1a}\u{06}{entry}");
    let http = format!("\u{12}{}{inner}", char::from(u8::try_from(inner.chars().count()).unwrap()));
    let request = format!("\u{22}{}{http}", char::from(u8::try_from(http.chars().count()).unwrap()));
    let message = format!("\u{0a}{}{request}", char::from(u8::try_from(request.chars().count()).unwrap()));
    let answers = ask(
        &gateway,
        &[
            json!({ "bytes": "\u{ff}" }),
            json!({ "bytes": "" }),
            json!({ "bytes": "x", "repeat": 1_200_000 }),
            question("GET", "/healthz", json!([["x", "y".repeat(70_000)]])),
            question("CONNECT", "api.test:443", json!([])),
            question("GET", "", json!([])),
            question("", "/healthz", json!([])),
            question("GET", "/healthz", json!([[":path", "/other"]])),
            question(
                "POST",
                "/v1/users",
                json!([["authorization", bearer(&["--scope", "users:write"])], ["content-length", "11"]]),
            ),
            twice,
            not_utf8,
            json!({ "bytes": message }),
        ],
    );
    let expected = [
        ("BadRequest", "request_malformed"),
        ("BadRequest", "request_malformed"),
        ("RequestHeaderFieldsTooLarge", "too_large"),
        ("RequestHeaderFieldsTooLarge", "too_large"),
        ("BadRequest", "request_malformed"),
        ("BadRequest", "request_malformed"),
        ("BadRequest", "request_malformed"),
        ("BadRequest", "request_malformed"),
        ("PayloadTooLarge", "too_large"),
        ("BadRequest", "token_duplicate"),
    ];
    assert_eq!(answers[..10].iter().map(denied).collect::<Vec<_>>(), expected);
    assert!(answers[10]["ok_response"].is_object() && answers[11]["ok_response"].is_object(), "{:?}", &answers[10..]);
}

/// What arrives of a check is kept until it is whole: no more than the longest head that could be allowed takes.
#[test]
fn a_check_has_room_for_the_longest_head_and_not_for_more() {
    let gateway = Gateway::start(&config());
    let path = format!("/healthz?{}", "p".repeat(15_000));
    let longest = json!([[":path", path], ["x", "y".repeat(2_000)]]);
    let answers = ask(&gateway, &[question("GET", &path, longest), json!({ "bytes": "\u{3f}", "repeat": 150_000 })]);
    assert!(answers[0]["ok_response"].is_object(), "{answers:?}");
    assert_eq!(denied(&answers[1]), ("RequestHeaderFieldsTooLarge", "too_large"));
}

#[test]
fn calls_that_are_none_have_a_status() {
    let gateway = Gateway::start(&config());
    let elsewhere = json!({ "bytes": "", "call": "/envoy.service.auth.v2.Authorization/Check" });
    assert_eq!(ask(&gateway, &[elsewhere])[0]["code"], 12);
    let plain = exchange(gateway.authz_grpc.unwrap(), "GET /", &[]);
    assert_eq!(plain.status, 505);
    let strangers = Gateway::start(&config().replace("authz: {", "authz: {allow_from: [192.0.2.0/24], "));
    assert_eq!(ask(&strangers, &[question("GET", "/healthz", json!([]))])[0]["code"], 7);
}

#[test]
fn shadow_mode_lets_through_and_says_why_not() {
    let gateway = Gateway::start(&config());
    let answers = ask(&gateway, &[question("GET", "/v1/shadow", json!([]))]);
    assert!(answers[0]["ok_response"].is_object(), "{answers:?}");
    let metadata = &answers[0]["dynamic_metadata"];
    assert_eq!((&metadata["reason"], &metadata["shadowed"]), (&json!("token_missing"), &json!(true)));
}

#[test]
fn preflights_are_answered_here() {
    let gateway = Gateway::start(&config());
    let headers = json!([["origin", "https://app.test"], ["access-control-request-method", "GET"]]);
    let answers = ask(&gateway, &[question("OPTIONS", "/v1/users/7", headers)]);
    assert_eq!(answers[0]["denied_response"]["status"]["code"], "NoContent", "{answers:?}");
    let told = pairs(&answers[0]["denied_response"]["headers"]);
    assert!(told.contains(&("access-control-allow-origin", "https://app.test")), "{told:?}");
}

#[test]
fn a_key_that_came_since_is_waited_for() {
    let fetches = AtomicUsize::new(0);
    let issuer = RawBackend::start(move |exchange| {
        let set = if fetches.fetch_add(1, Ordering::SeqCst) == 0 { "rsa-2" } else { "rsa" };
        let keys = keys::jwks(&[set]);
        exchange
            .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{keys}", keys.len()))
            .map(|()| Then::KeepAlive)
    });
    let issuers = format!(
        "issuers:\n  - {{name: demo, issuer: https://issuer.example, audiences: [https://api.example], keys: {{jwks_uri: '{}/jwks'}}}}\n",
        issuer.url()
    );
    let gateway = Gateway::start(&format!("{issuers}{}", config()));
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({ "iss": "https://issuer.example", "aud": "https://api.example", "sub": "acme", "client_id": "acme",
        "scope": "users:read", "tenant_id": "t1", "iat": now, "exp": now + 600 });
    let token = keys::mint(&json!({ "alg": "RS256", "kid": "rsa", "typ": "at+jwt" }), &claims, keys::key("rsa"));
    let answers =
        ask(&gateway, &[question("GET", "/v1/users/7", json!([["authorization", format!("Bearer {token}")]]))]);
    assert!(answers[0]["ok_response"].is_object(), "{answers:?}");
}

#[test]
fn a_unix_socket_is_asked_like_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("unix:{}", directory.path().join("authz.sock").display());
    let gateway = Gateway::start(&config().replace("grpc: 127.0.0.1:0", &format!("grpc: '{target}'")));
    let answers = ask_at(&target, &[question("GET", "/healthz", json!([])), question("GET", "/v1/me", json!([]))]);
    assert!(answers[0]["ok_response"].is_object(), "{answers:?}");
    assert_eq!(denied(&answers[1]), ("Unauthorized", "token_missing"));
    drop(gateway);
}

/// A client of a proxy that leaves has its check given up. However many do, the others' checks on the same connection are
/// answered.
#[test]
fn checks_that_are_given_up_do_not_end_those_of_others() {
    let gateway = Gateway::start(&config());
    let target = gateway.authz_grpc.unwrap().to_string();
    let given_up = json!({ "give_up": 5000, "method": "GET", "path": "/healthz", "host": "a", "headers": [] });
    let answers = ask_at(&target, &[given_up, question("GET", "/healthz", json!([]))]);
    assert_eq!(answers[0], json!({ "given_up": 5000 }));
    assert!(answers[1]["ok_response"].is_object(), "{answers:?}");
    let flooded = |event: &Value| event["message"].as_str().is_some_and(|text| text.contains("reached limit"));
    let log = gateway.stop().stderr;
    let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(!events.into_iter().any(|event| flooded(&event)), "{log}");
}
