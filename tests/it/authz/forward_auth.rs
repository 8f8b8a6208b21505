//! What proxies that ask by header fields are answered.

use std::net::SocketAddr;
use std::process::Command;

use super::{Answer, config, exchange, fields};
use crate::harness::certificates::Authority;
use crate::harness::gateway::Gateway;
use crate::harness::tls::Dialer;
use crate::harness::tokens::mint;

const CADDYS: [(&str, &str); 4] = [
    ("Host", "auth.internal"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Uri", "/v1/users/7?a=b"),
    ("X-Forwarded-Host", "api.test"),
];
const NGINXS: [(&str, &str); 3] =
    [("Host", "api.test"), ("X-Original-Method", "GET"), ("X-Original-URI", "/v1/users/7?a=b")];

fn ask(gateway: &Gateway, sets: &[&[(&str, &str)]]) -> Answer {
    exchange(address(gateway), "GET /auth", &fields(&sets.concat()))
}

fn address(gateway: &Gateway) -> SocketAddr {
    gateway.authz_http.expect("authz.http")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn what_is_allowed_is_told_who_calls() {
    let gateway = Gateway::start(&config());
    let authorization = bearer(&mint(&[]));
    for set in [&CADDYS[..], &NGINXS[..]] {
        let more = [("Authorization", &*authorization), ("X-Client-Id", "evil"), ("X-Roles", "evil")];
        let answer = ask(&gateway, &[set, &more, &[("X-Request-Id", "r-1")]]);
        assert_eq!((answer.status, &*answer.body), (200, ""), "{answer:?}");
        let told = ["x-tenant-id", "x-client-id", "x-subject", "x-scopes", "x-roles", "x-request-id"];
        let told = told.map(|name| answer.field(name));
        let expected = [Some("t1"), Some("acme"), Some("acme"), Some("users:read"), None, Some("r-1")];
        assert_eq!(told, expected);
        assert_eq!(answer.field("authorization"), None);
    }
    let entry = gateway.access_log_entry(|entry| entry["request_id"] == "r-1");
    let line = ["method", "host", "path", "route"].map(|key| entry[key].as_str().unwrap());
    assert_eq!(line, ["GET", "api.test", "/v1/users/7", "GET /v1/users/{id}"]);
}

#[test]
fn what_is_refused_is_answered_as_by_the_proxy() {
    let gateway = Gateway::start(&config());
    for (path, status, code) in [("/v1/users/7", 401, "UNAUTHORIZED"), ("/nothing", 404, "NOT_FOUND")] {
        let id = [("X-Request-Id", "same")];
        let line = [CADDYS[0], CADDYS[1], ("X-Forwarded-Uri", path), CADDYS[3]];
        let answer = ask(&gateway, &[&line, &id]);
        let direct = exchange(gateway.address(), &format!("GET {path}"), &fields(&id));
        assert_eq!((answer.status, direct.status), (status, status));
        assert_eq!(answer.body, direct.body);
        assert!(answer.body.contains(code), "{answer:?}");
        let challenges = [&answer, &direct].map(|answer| answer.field("www-authenticate").map(str::to_owned));
        assert_eq!(challenges[0], challenges[1]);
    }
}

#[test]
fn nginx_is_told_the_status_beside_403() {
    let gateway = Gateway::start(&config());
    let status = |more: &[(&str, &str)]| {
        let answer = ask(&gateway, &[&[NGINXS[0], NGINXS[1]], more]);
        (answer.status, answer.field("x-sidegate-status").map(str::to_owned))
    };
    assert_eq!(status(&[("X-Original-URI", "/v1/users/7")]), (401, None));
    assert_eq!(status(&[("X-Original-URI", "/nothing")]), (403, Some("404".to_owned())));
    assert_eq!(status(&[("X-Original-URI", "/a//b")]), (403, Some("400".to_owned())));
    let wrong_scope = bearer(&mint(&["--scope", "other"]));
    assert_eq!(status(&[("X-Original-URI", "/v1/users/7"), ("Authorization", &*wrong_scope)]), (403, None));
}

#[test]
fn a_refusal_never_has_a_good_status() {
    let gateway = Gateway::start(&config());
    let grpc = ask(&gateway, &[&CADDYS, &[("Content-Type", "application/grpc")]]);
    assert_eq!(grpc.status, 401);
    let preflight = [("Origin", "https://app.test"), ("Access-Control-Request-Method", "GET")];
    let line = [CADDYS[0], ("X-Forwarded-Method", "OPTIONS"), CADDYS[2], CADDYS[3]];
    let answer = ask(&gateway, &[&line, &preflight]);
    assert_eq!((answer.status, answer.field("x-sidegate-status")), (403, Some("204")));
}

#[test]
fn a_question_about_no_request_or_two_is_refused() {
    let gateway = Gateway::start(&config());
    let token = bearer(&mint(&[]));
    let authorization = [("Authorization", &*token)];
    let refused: [&[&[(&str, &str)]]; 8] = [
        &[],
        &[&CADDYS[1..2]],
        &[&CADDYS[2..]],
        &[&CADDYS[..3]],
        &[&NGINXS[2..]],
        &[&CADDYS, &NGINXS[1..]],
        &[&CADDYS, &[("X-Forwarded-Uri", "/healthz")]],
        &[&NGINXS, &[("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/healthz"), ("X-Forwarded-Host", "api.test")]],
    ];
    for question in refused {
        let answer = ask(&gateway, &[&question.concat(), &authorization]);
        let status = answer.field("x-sidegate-status").map_or(answer.status, |status| status.parse().unwrap());
        assert_eq!(status, 400, "{question:?}: {answer:?}");
    }
    let both =
        [&NGINXS[..], &[("X-Forwarded-Method", "GET"), ("X-Forwarded-Uri", "/v1/users/7?a=b"), CADDYS[3]]].concat();
    assert_eq!(ask(&gateway, &[&both, &authorization]).status, 200, "they agree");
}

#[test]
fn what_cannot_be_taken_out_is_refused() {
    let gateway = Gateway::start(&config());
    let token = bearer(&mint(&[]));
    for name in ["X_Tenant_Id", "X.Client.Id", "X-HTTP-Method-Override", "X-Original-URL", "x_rewrite_url"] {
        let answer = ask(&gateway, &[&CADDYS, &[("Authorization", &*token), (name, "evil")]]);
        assert_eq!(answer.status, 400, "{name}");
    }
}

#[test]
fn strangers_get_no_decision() {
    let gateway = Gateway::start(&config().replace("authz: {", "authz: {allow_from: [192.0.2.0/24], "));
    let token = bearer(&mint(&[]));
    let answer = ask(&gateway, &[&CADDYS, &[("Authorization", &*token), ("X-Request-Id", "stranger")]]);
    assert_eq!((answer.status, answer.field("x-client-id")), (403, None));
    let entry = gateway.access_log_entry(|entry| entry["request_id"] == "stranger");
    assert!(entry.get("reason").is_none_or(serde_json::Value::is_null), "{entry}");
    assert!(entry.get("client_id").is_none_or(serde_json::Value::is_null), "{entry}");
}

#[test]
fn a_unix_socket_is_asked_like_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("authz.sock");
    let gateway = Gateway::start(&config().replace("http: 127.0.0.1:0", &format!("http: 'unix:{}'", socket.display())));
    let mut curl = Command::new("curl");
    curl.args(["-q", "-sS", "-o", "/dev/null", "-w", "%{http_code} %header{x-tenant-id}", "--unix-socket"])
        .arg(&socket);
    let authorization = format!("Authorization: {}", bearer(&mint(&[])));
    for field in [&*authorization, "X-Forwarded-Method: GET", "X-Forwarded-Uri: /v1/users/7", "X-Forwarded-Host: a"] {
        curl.args(["-H", field]);
    }
    let output = curl.arg("http://auth/").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).split(' ').next(), Some("200"), "{output:?}");
    drop(gateway);
}

#[test]
fn a_reload_with_another_address_is_refused_by_name() {
    let admin = "admin: {address: 127.0.0.1:0}\n";
    let gateway = Gateway::start(&format!("listeners: [{{address: 127.0.0.1:0}}]\n{admin}{}", config()));
    let with = |authz: &str| {
        format!("listeners: [{{address: 127.0.0.1:0}}]\n{admin}{}", config().replace(super::LISTENING, authz))
    };
    gateway.configure(&with("authz: {grpc: 127.0.0.1:0}\n"));
    let refused = gateway.reload("Host: 127.0.0.1\r\n");
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(refused.text().contains("authz.http") && !refused.text().contains("authz.grpc"), "{}", refused.text());
    gateway.configure(&with("authz: {grpc: 127.0.0.1:0, http: 127.0.0.1:0, allow_from: [192.0.2.1]}\n"));
    assert_eq!(gateway.reload("Host: 127.0.0.1\r\n").status, 200);
    assert_eq!(ask(&gateway, &[&CADDYS]).status, 403, "who may ask is a matter of a reload");
}

#[test]
fn with_tls_nothing_is_answered_in_clear_text() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("authority of the tests");
    let issued = authority.issue("authorizer");
    std::fs::write(directory.path().join("tls.crt"), &issued.certificate).unwrap();
    std::fs::write(directory.path().join("tls.key"), &issued.key).unwrap();
    let file = |name: &str| directory.path().join(name).display().to_string();
    let tls = format!("authz: {{tls: {{certificate: '{}', private_key: '{}'}}, ", file("tls.crt"), file("tls.key"));
    let gateway = Gateway::start(&config().replace("authz: {", &tls));
    assert_eq!(ask(&gateway, &[&CADDYS]).status, 400, "HTTP without TLS");
    let mut client = Dialer::new(&authority, None).connect(address(&gateway));
    let token = mint(&[]);
    let lines: String = CADDYS.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    client.send(format!("GET / HTTP/1.1\r\n{lines}Authorization: Bearer {token}\r\n\r\n"));
    let answer = client.receive();
    assert_eq!((answer.status, answer.fields.one("x-tenant-id")), (200, Some("t1")));
}
