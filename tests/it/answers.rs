//! What a client reads: the same answer to the same refusal wherever it arises, in each of the formats; what web pages
//! and clients find out beside it; and what a backend is told.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::harness::backend::RawBackend;
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::response::Response;
use crate::harness::tokens::mint;

/// A gateway whose backends are not there, but for the echo.
fn start(more: &str) -> Gateway {
    start_before(RawBackend::nowhere(), more)
}

/// A gateway with a route for each thing that can go wrong, and `more` on top.
fn start_before(backend: SocketAddr, more: &str) -> Gateway {
    Gateway::start(&format!(
        "{more}
workers: 1
limits: {{header_bytes: 4KiB, token_bytes: 1KiB, drain_delay: 1ms}}
upstreams:
  raw: {{urls: [http://{backend}], timeout: 100ms}}
  down: {{urls: [http://{down}]}}
  echo: {{builtin: echo}}
routes:
  - {{match: 'GET /scope', scopes: [other], upstream: echo}}
  - {{match: 'GET /role', roles: [admin], upstream: echo}}
  - {{match: 'GET /any', authenticated: true, upstream: echo}}
  - {{match: '/raw', public: true, max_body: 8B, upstream: raw}}
  - {{match: '/down', public: true, upstream: down}}
",
        down = RawBackend::nowhere(),
    ))
}

/// A backend that takes requests and never answers.
fn silent() -> RawBackend {
    RawBackend::start(|exchange| {
        exchange.next_byte()?;
        Err(std::io::ErrorKind::TimedOut.into())
    })
}

/// A refusal: how to get it, and its status, code and RFC 6750 error.
struct Case {
    request: String,
    status: u16,
    code: &'static str,
    error: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let token = format!("Authorization: Bearer {}\r\n", mint(&[]));
    let case = |line: &str, fields: &str, status, code, error| {
        let request = format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        Case { request, status, code, error }
    };
    let long = "a".repeat(5000);
    vec![
        case("GET /any", "", 401, "UNAUTHORIZED", None),
        case("GET /any", "Authorization: Bearer a.b.c\r\n", 401, "UNAUTHORIZED", Some("invalid_token")),
        case("GET /any", "Authorization: Bearer a b\r\n", 400, "BAD_REQUEST", Some("invalid_request")),
        case("GET /any", &token.repeat(2), 400, "BAD_REQUEST", Some("invalid_request")),
        case("GET /scope", &token, 403, "INSUFFICIENT_SCOPE", Some("insufficient_scope")),
        case("GET /role", &token, 403, "INSUFFICIENT_SCOPE", Some("insufficient_scope")),
        case("GET /a//b", "", 400, "BAD_REQUEST", None),
        case("GET /nowhere", "", 404, "NOT_FOUND", None),
        case("PUT /any", "", 405, "METHOD_NOT_ALLOWED", None),
        case("POST /raw", "Content-Length: 9\r\n", 413, "TOO_LARGE", None),
        case("POST /raw", "Transfer-Encoding: chunked\r\n\r\nfoo\r\n", 400, "BAD_REQUEST", None),
        case("POST /raw", "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", 400, "BAD_REQUEST", None),
        case("GET /any", &format!("X: {long}\r\n"), 431, "TOO_LARGE", None),
        case("GET /any", &format!("Authorization: Bearer {}\r\n", &long[..1100]), 431, "TOO_LARGE", None),
        case("GET /down", "", 502, "BAD_GATEWAY", None),
        case("GET /raw", "", 504, "GATEWAY_TIMEOUT", None),
    ]
}

/// Asks for each refusal and hands its parts to `check`.
fn each_refusal(format: &str, content_type: &str, check: impl Fn(&Case, &Value)) {
    let backend = silent();
    let gateway = start_before(backend.address, &format!("errors: {{format: {format}}}"));
    for case in cases() {
        let response = gateway.ask(&case.request);
        let said = format!("{format}, {:?}: {response:?} {}", case.request, response.text());
        assert_eq!(response.status, case.status, "{said}");
        assert_eq!(response.fields.one("content-type"), Some(content_type), "{said}");
        assert_eq!(response.fields.one("cache-control"), Some("no-store"), "{said}");
        let challenge = response.fields.one("www-authenticate");
        assert_eq!(challenge.is_some(), matches!(case.status, 401 | 403) || case.error.is_some(), "{said}");
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("{said}"));
        let id = [&body["requestId"], &body["request_id"], &body["error"]["requestId"]];
        let id = id.iter().find_map(|id| id.as_str());
        assert_eq!(id, response.fields.one("x-request-id"), "{said}");
        check(&case, &body);
    }
}

#[test]
fn refusals_are_envelopes() {
    each_refusal("envelope", "application/json", |case, body| {
        assert_eq!(body["error"]["code"], case.code, "{body}");
    });
}

#[test]
fn refusals_are_problem_details() {
    each_refusal("problem", "application/problem+json", |case, body| {
        assert_eq!((&body["status"], &body["code"]), (&json!(case.status), &json!(case.code)), "{body}");
        assert_eq!(body["type"], "about:blank", "{body}");
    });
}

#[test]
fn refusals_are_oauth_errors() {
    each_refusal("oauth", "application/json", |case, body| {
        let code = case.code.to_ascii_lowercase();
        assert_eq!(body["error"], case.error.unwrap_or(&code), "{body}");
    });
}

#[test]
fn refusals_of_head_are_those_of_get_without_the_body() {
    let backend = silent();
    let gateway = start_before(backend.address, "");
    for path in ["/any", "/scope", "/nowhere", "/down", "/raw", "/a//b"] {
        let ask = |method: &str| format!("{method} {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: same\r\n\r\n");
        let get = gateway.ask(ask("GET"));
        let mut client = gateway.connect();
        client.send(ask("HEAD"));
        let head = client.receive_head();
        assert_eq!((head.status, sorted(&head)), (get.status, sorted(&get)), "{path}");
        // Had there been a body, it would be read as the next answer.
        client.send(ask("GET"));
        assert_eq!(client.receive().status, get.status, "{path}");
    }
}

/// The fields of an answer but for `Date`, whatever their order.
fn sorted(response: &Response) -> Vec<&(String, String)> {
    let mut fields: Vec<_> = response.fields.0.iter().filter(|(name, _)| name != "date").collect();
    fields.sort();
    fields
}

#[test]
fn grpc_calls_are_refused_in_their_own_way() {
    let backend = silent();
    let gateway = start_before(backend.address, "");
    for (path, status) in [("/any", "16"), ("/nowhere", "5"), ("/a//b", "3"), ("/down", "14"), ("/raw", "4")] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\r\n");
        let response = gateway.ask(request);
        assert_eq!((response.status, response.fields.one("grpc-status")), (200, Some(status)), "{path}");
        assert!(response.body.is_empty(), "{path}");
    }
}

#[test]
fn pages_of_allowed_origins_may_ask_and_read_refusals() {
    let gateway = start("cors: {origins: ['https://app.example']}");
    let ask = |method: &str, origin: &str, more: &str| {
        gateway.ask(format!("{method} /any HTTP/1.1\r\nHost: a\r\nOrigin: {origin}\r\n{more}\r\n"))
    };
    let preflight = "Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: authorization\r\n";
    let allowed = |response: &Response| response.fields.one("access-control-allow-origin").map(str::to_owned);

    let response = ask("OPTIONS", "https://app.example", preflight);
    assert_eq!((response.status, allowed(&response).as_deref()), (204, Some("https://app.example")));
    assert!(response.fields.lists("access-control-allow-headers", "authorization"), "{response:?}");
    assert!(response.fields.lists("access-control-allow-methods", "GET"), "{response:?}");
    let response = ask("OPTIONS", "https://other.example", preflight);
    assert_eq!((response.status, allowed(&response)), (204, None));

    let refused = ask("GET", "https://app.example", "");
    assert_eq!((refused.status, allowed(&refused).as_deref()), (401, Some("https://app.example")));
    assert!(refused.fields.lists("access-control-expose-headers", "www-authenticate"), "{refused:?}");
    assert_eq!(allowed(&ask("GET", "https://other.example", "")), None);
    // Without the two fields of a preflight it is a request like any other.
    assert_eq!(ask("OPTIONS", "https://app.example", "").status, 405);
}

#[test]
fn challenges_lead_to_the_resource_metadata() {
    let gateway = start("resource: https://api.example/v1");
    let get = |path: &str| gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    let refused = get("/any");
    let challenge = refused.fields.one("www-authenticate").unwrap();
    let path = "/.well-known/oauth-protected-resource/v1";
    assert!(challenge.contains(&format!(r#"resource_metadata="https://api.example{path}""#)), "{challenge}");
    for path in [path, "/.well-known/oauth-protected-resource"] {
        let document: Value = serde_json::from_slice(&get(path).body).unwrap();
        assert_eq!(document["resource"], "https://api.example/v1");
        assert_eq!(document["authorization_servers"], json!(["https://issuer.example"]));
        assert_eq!(document["scopes_supported"], json!(["other"]));
    }
}

/// What the echo backend says it was sent.
fn echoed(gateway: &Gateway, fields: &str) -> Value {
    let request = format!("GET /any HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n{fields}\r\n", mint(&[]));
    let echo: Value = serde_json::from_slice(&gateway.ask(request).body).unwrap();
    echo["headers"].clone()
}

#[test]
fn the_token_reaches_the_backend_unless_it_is_taken_out() {
    let forwarding = start("");
    assert!(echoed(&forwarding, "")["authorization"].is_string());
    let removing = start("identity: {authorization: remove}");
    assert_eq!(echoed(&removing, "")["authorization"], Value::Null);
}

#[test]
fn only_trusted_proxies_say_where_a_request_came_from() {
    let fields = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Real-IP: 192.0.2.1\r\n";
    let told = |more: &str| {
        let headers = echoed(&start(more), fields);
        ["x-forwarded-for", "x-forwarded-proto", "x-real-ip"].map(|name| headers[name].clone())
    };
    let trusted = told("trusted_proxies: [127.0.0.0/8]");
    assert_eq!(trusted, [json!("192.0.2.1, 127.0.0.1"), json!("https"), json!("192.0.2.1")]);
    let own = [json!("127.0.0.1"), json!("http"), Value::Null];
    assert_eq!(told(""), own);
    assert_eq!(told("trusted_proxies: [192.0.2.0/24]"), own);
}

#[test]
fn shadow_mode_lets_through_and_tells_the_operator() {
    let gateway = start("mode: shadow");
    let ask = |path: &str| gateway.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: id\r\n\r\n")).status;
    assert_eq!(ask("/scope"), 200);
    let entry = gateway.access_log_entry(|entry| entry["request_id"] == "id");
    assert_eq!((&entry["reason"], &entry["mode"]), (&json!("token_missing"), &json!("shadow")), "{entry}");
    echoed(&gateway, "");
    let (_, metrics) = gateway.admin_get("/metrics");
    for counted in [
        r#"decision="deny",mode="shadow",reason="token_missing",route="GET /scope"} 1"#,
        r#"decision="allow",mode="shadow",reason="none",route="GET /any"} 1"#,
    ] {
        assert!(metrics.contains(&format!("sidegate_decisions_total{{{counted}\n")), "{metrics}");
    }
    // What no backend should see is refused in every mode.
    assert_eq!((ask("/a//b"), ask("/nowhere")), (400, 404));
}

#[test]
fn the_admin_listener_refuses_like_any_other() {
    let gateway = start("");
    let admin = gateway.admin.unwrap();
    let long = format!("GET /status HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    for (request, status, code) in [
        ("GET /status\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET /status HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "BAD_REQUEST"),
        ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, "NOT_FOUND"),
        ("POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405, "METHOD_NOT_ALLOWED"),
        (&long, 431, "TOO_LARGE"),
    ] {
        let mut client = Client::connect(admin);
        // It may answer before all of a long head was sent.
        let _ = client.try_send(request);
        let response = client.receive();
        assert_eq!((response.status, &*response.code()), (status, code));
        assert_eq!(response.fields.one("cache-control"), Some("no-store"));
    }
}

#[test]
fn a_request_id_of_the_clients_is_kept_if_it_can_be_one() {
    let gateway = start("");
    let id = |value: &str| {
        let response = gateway.ask(format!("GET /nowhere HTTP/1.1\r\nHost: a\r\nX-Request-Id: {value}\r\n\r\n"));
        response.fields.one("x-request-id").unwrap().to_owned()
    };
    let longest = "a".repeat(128);
    for kept in ["a", "A-1_b.c", &longest] {
        assert_eq!(id(kept), kept);
    }
    let too_long = "a".repeat(129);
    for odd in ["", "a b", "a/b", "a,b", "ä", &too_long] {
        assert_ne!(id(odd), odd);
    }
    assert_ne!(id(""), id(""), "each request has an id of its own");
}

#[test]
fn a_request_that_is_refused_for_what_its_head_says_together_keeps_its_id_and_its_place_in_the_log() {
    let gateway = start("");
    for (number, fields) in
        ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"]
            .iter()
            .enumerate()
    {
        let id = format!("kept-{number}");
        let response = gateway.ask(format!("GET /secret?q HTTP/1.1\r\nX-Request-Id: {id}\r\n{fields}\r\n"));
        assert_eq!((response.status, response.fields.one("x-request-id")), (400, Some(&*id)));
        let entry = gateway.access_log_entry(|entry| entry["request_id"] == id);
        assert_eq!((&entry["method"], &entry["path"]), (&json!("GET"), &json!("/secret")), "{entry}");
    }
}
