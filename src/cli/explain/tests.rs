//! Explanations of real decisions: a configuration as a user writes it, tokens signed with its keys.

use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Parser;
use serde_json::{Value, json};

use super::*;
use crate::config;
use crate::core::snapshot::{Issuer, IssuerId, Issuers};

const NOW: i64 = 1_795_305_600;

const CONFIG: &str = r"
listeners:
  - address: 127.0.0.1:8080
issuers:
  - name: partner
    issuer: https://auth.example.com
    audiences: [https://api.example.com]
    keys: { jwks_file: jwks.json }
    scope_prefix: partner/
upstreams:
  users: { builtin: echo }
identity:
  tenant: { header: X-Tenant-Id }
  headers: { X-Client-Id: client_id }
routes:
  - { match: 'GET /v1/users/{id}', scopes: [users:read], upstream: users }
  - { match: POST /v1/users, scopes: [users:write], mode: shadow, upstream: users }
  - { match: /healthz, public: true, upstream: users }
";

/// A gateway's configuration and the one who signs its tokens.
struct World {
    snapshot: Snapshot,
    key: Ed25519KeyPair,
}

impl World {
    fn new() -> Self {
        let key = Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(key.public_key());
        let jwks = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "alg": "EdDSA", "x": x}]});
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("jwks.json"), jwks.to_string()).unwrap();
        let loaded = config::from_text("config.yaml", CONFIG, directory.path(), &|_| None);
        let config = loaded.unwrap_or_else(|diagnostics| panic!("{}", diagnostics.render(false)));
        Self { snapshot: config.snapshot, key }
    }

    fn token(&self, changes: Value) -> String {
        let mut claims = json!({
            "iss": "https://auth.example.com",
            "aud": "https://api.example.com",
            "sub": "acme",
            "client_id": "acme",
            "tenant_id": "t1",
            "scope": "partner/users:read other",
            "exp": NOW + 600,
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(json!({"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"})), encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn explain(&self, arguments: &[&str]) -> Report {
        self.try_explain(arguments).unwrap()
    }

    fn try_explain(&self, arguments: &[&str]) -> Result<Report, Need> {
        explain(&self.snapshot, &Asked::read(&parse(arguments).unwrap()).unwrap(), UnixSeconds(NOW))
    }
}

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

fn parse(arguments: &[&str]) -> Result<Args, clap::Error> {
    let arguments = ["explain", "-c", "config.yaml"].iter().chain(arguments);
    Command::try_parse_from(arguments).map(|command| command.args)
}

fn detail(report: &Report, name: &str) -> String {
    let step = report.steps.iter().find(|step| step.step.name() == name).unwrap();
    let result = serde_json::to_value(step.result).unwrap();
    format!("{}: {}", result.as_str().unwrap(), step.detail)
}

#[test]
fn an_allowed_request_is_told_to_the_backend() {
    let world = World::new();
    let token = world.token(json!({}));
    let report = world.explain(&[
        "GET",
        "https://api.example.com/v1/users/7?q=1",
        "--token",
        &token,
        "-H",
        "x_tenant_id: evil",
        "-H",
        "X-Client-Id: evil",
        "-H",
        "X-Forwarded-For: 10.0.0.1",
        "-H",
        "Accept: text/plain",
    ]);
    assert!(report.is_allowed());
    assert_eq!((report.status, report.reason, report.shadowed), (200, None, false));
    assert_eq!(report.route.as_deref(), Some("GET /v1/users/{id}"));
    assert_eq!(detail(&report, "request"), "ok: GET, host api.example.com");
    assert_eq!(detail(&report, "path"), "ok: /v1/users/7");
    assert_eq!(detail(&report, "route"), "ok: GET /v1/users/{id} (line 16), enforced");
    let headers = detail(&report, "headers");
    for name in ["x_tenant_id", "x-client-id", "x-forwarded-for"] {
        assert!(headers.contains(name), "{headers}");
    }
    assert!(!headers.contains("accept"), "{headers}");
    assert_eq!(detail(&report, "token"), "ok: signed by issuer partner; alg EdDSA, kid k1, typ at+jwt");
    assert!(detail(&report, "claims").starts_with("ok: client \"acme\", a client's token; iss https://auth"));
    assert_eq!(detail(&report, "access"), "ok: needs scopes users:read; has scopes users:read");
    assert_eq!(detail(&report, "tenant"), "ok: t1");
    assert_eq!(detail(&report, "forward"), "ok: to upstream users");
    for (name, value) in [
        ("x-tenant-id", "t1"),
        ("x-client-id", "acme"),
        ("accept", "text/plain"),
        ("host", "api.example.com"),
        ("authorization", "<as sent>"),
    ] {
        assert_eq!(report.headers.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(!report.headers.contains_key("x_tenant_id"));
}

/// By the rule of the gateway, which makes an id of its own for all others.
#[test]
fn only_a_plain_request_id_is_taken_over() {
    let world = World::new();
    let long = "x".repeat(129);
    for (given, shown) in [
        (&[""; 0][..], "(a new one)"),
        (&["a.B_c-9"], "a.B_c-9"),
        (&[""], "(a new one)"),
        (&["a b"], "(a new one)"),
        (&["{}"], "(a new one)"),
        (&[&*long], "(a new one)"),
        (&["a", "a"], "(a new one)"),
    ] {
        let fields: Vec<String> = given.iter().map(|id| format!("X-Request-Id: {id}")).collect();
        let mut arguments = vec!["GET", "/healthz"];
        fields.iter().for_each(|field| arguments.extend(["-H", field]));
        let report = world.explain(&arguments);
        assert_eq!(report.headers.get("x-request-id").map(String::as_str), Some(shown), "{given:?}");
        let is_told = detail(&report, "headers").contains("x-request-id");
        assert_eq!(is_told, !given.is_empty() && shown == "(a new one)", "{given:?}");
    }
}

#[test]
fn a_denied_request_stops_at_the_step_that_failed() {
    let world = World::new();
    let expired = world.token(json!({"exp": NOW - 600}));
    let report = world.explain(&["GET", "/v1/users/7", "--token", &expired]);
    assert!(!report.is_allowed());
    assert_eq!((report.status, report.reason), (401, Some("token_expired")));
    assert!(detail(&report, "token").starts_with("ok: signed by issuer partner"));
    let claims = detail(&report, "claims");
    assert!(claims.starts_with("failed: token_expired: ") && claims.contains("exp 2026-11-21T23:50:00Z"), "{claims}");
    assert_eq!(detail(&report, "access"), "skipped: not reached");
    assert_eq!(detail(&report, "forward"), "skipped: not reached");
    assert!(report.headers.is_empty());
}

#[test]
fn every_kind_of_failure_is_found_at_its_step() {
    let world = World::new();
    let fine = world.token(json!({}));
    let other_issuer = world.token(json!({"iss": "https://evil.example"}));
    let no_scope = world.token(json!({"scope": "partner/ping"}));
    let no_tenant = world.token(json!({"tenant_id": null}));
    let forged = World::new().token(json!({}));
    for (arguments, stage, reason) in [
        (vec!["GET", "v1/users"], "request", "request_malformed"),
        (vec!["GET", "/v1/../users"], "path", "path_ambiguous"),
        (vec!["GET", "/v1/Users/7"], "path", "path_ambiguous"),
        (vec!["GET", "/v2"], "route", "route_unknown"),
        (vec!["DELETE", "/v1/users/7"], "route", "method_not_allowed"),
        (vec!["GET", "/v1/users/7"], "token", "token_missing"),
        (vec!["GET", "/v1/users/7", "--token", "opaque"], "token", "token_malformed"),
        (vec!["GET", "/v1/users/7", "--token", &other_issuer], "token", "token_issuer"),
        (vec!["GET", "/v1/users/7", "--token", &forged], "token", "token_signature"),
        (vec!["GET", "/v1/users/7", "--token", &fine, "-H", "Authorization: Bearer x"], "token", "token_duplicate"),
        (vec!["GET", "/v1/users/7", "--token", &no_scope], "access", "scope_missing"),
        (vec!["GET", "/v1/users/7", "--token", &no_tenant], "tenant", "tenant_missing"),
    ] {
        let report = world.explain(&arguments);
        assert!(detail(&report, stage).starts_with(&format!("failed: {reason}: ")), "{arguments:?} {report:?}");
        assert_eq!(report.steps.iter().filter(|step| step.result == report::StepResult::Failed).count(), 1);
    }
}

#[test]
fn shadow_mode_shows_what_would_have_been() {
    let world = World::new();
    let report = world.explain(&["POST", "/v1/users", "--token", &world.token(json!({}))]);
    assert!(report.is_allowed() && report.shadowed);
    assert_eq!((report.status, report.reason), (200, Some("scope_missing")));
    assert!(detail(&report, "access").starts_with("shadowed: scope_missing: "));
    assert_eq!(detail(&report, "forward"), "ok: to upstream users");
    assert!(print::text(&report).contains("\nallowed in shadow mode; would be denied: scope_missing\n"));
}

#[test]
fn a_public_route_looks_at_no_token() {
    let world = World::new();
    let report = world.explain(&["PUT", "/healthz", "-H", "X-Tenant-Id: evil", "--token", "rubbish"]);
    assert!(report.is_allowed());
    assert_eq!(detail(&report, "headers"), "ok: taken out or replaced: x-tenant-id");
    assert_eq!(detail(&report, "token"), "skipped: the route is public: no token is looked at");
    assert!(!report.headers.contains_key("x-tenant-id"));
}

#[test]
fn json_has_the_promised_fields_and_no_token() {
    let world = World::new();
    let token = world.token(json!({"sub": "\u{1b}[31m"}));
    let report = world.explain(&["GET", "/v1/users/7", "--token", &token]);
    let json = print::json(&report).unwrap();
    let text = print::text(&report);
    let value: Value = serde_json::from_str(&json).unwrap();
    for field in ["decision", "status", "reason", "route", "steps", "headers"] {
        assert!(value.get(field).is_some(), "{field}");
    }
    assert_eq!((&value["decision"], &value["steps"][0]["step"]), (&json!("deny"), &json!("request")));
    for part in token.split('.') {
        assert!(!json.contains(part) && !text.contains(part));
    }
    assert!(!text.contains('\u{1b}'));
}

/// Nobody fetches keys here, so nobody can say what would come of a token whose key may have to be fetched.
#[test]
fn a_token_of_an_issuer_whose_keys_are_fetched_is_not_decided_about() {
    let mut world = World::new();
    let (issuers, token) = (world.snapshot.issuers.clone(), world.token(json!({})));
    let fetched = |issuer: &Issuer| Issuer { keys_are_fetched: true, keys: Arc::default(), ..issuer.clone() };
    world.snapshot.issuers = Issuers::new(issuers.iter().map(fetched).collect());
    let expired = world.token(json!({"exp": NOW - 600}));
    for (method, target, token) in
        [("GET", "/v1/users/7", &token), ("GET", "/v1/users/7", &expired), ("POST", "/v1/users", &token)]
    {
        let undecided = world.try_explain(&[method, target, "--token", token]).unwrap_err();
        assert_eq!(undecided, Need::Keys(IssuerId(0)));
    }
    // What does not depend on them is decided.
    assert!(world.explain(&["GET", "/healthz", "--token", &token]).is_allowed());
    assert_eq!(world.explain(&["GET", "/v1/users/7"]).reason, Some("token_missing"));
}

#[test]
fn what_cannot_be_a_request_is_not_decided_about() {
    for arguments in [
        &["GET", "/", "-H", "no colon secret"][..],
        &["GET", "/", "-H", "bad name: x"],
        &["GET", "/", "--token", "line\nbreak"],
        &["GET", "/", "--token-file", "/nonexistent/token"],
    ] {
        let Err(error) = Asked::read(&parse(arguments).unwrap()) else { panic!("{arguments:?}") };
        assert!(!format!("{error:#}").contains("secret"), "{error:#}");
    }
    for arguments in [&["GET", "/", "-", "--token", "x"][..], &["GET", "/", "x"], &["G T", "/"], &["GET"]] {
        assert!(parse(arguments).is_err(), "{arguments:?}");
    }
    assert!(parse(&["GET", "/", "-", "--output", "json", "--at", "2026-11-22T00:00:00Z"]).is_ok());
    assert!(!format!("{:?}", parse(&["GET", "/", "--token", "secret"]).unwrap()).contains("secret"));
}

#[test]
fn a_configuration_that_does_not_load_is_no_denial() {
    let args = parse(&["GET", "/"]).unwrap();
    assert_eq!(run(args).unwrap(), ExitCode::from(UNDECIDED));
}
