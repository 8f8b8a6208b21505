//! One decision, whoever asks for it: the same requests through the gateway, through real Envoy, nginx, Caddy and Traefik that
//! ask it, and by `sidegate explain`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CONFIG, LISTENING, exchange, fields, proxies};
use crate::harness::backend::{RawBackend, Seen, Then};
use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;
use crate::support::mint as keys;

/// How many requests are made up.
const REQUESTS: usize = 400;

const IDENTITY: [&str; 5] = ["x-client-id", "x-roles", "x-scopes", "x-subject", "x-tenant-id"];
/// What must not reach a backend in any spelling, folded.
const NEVER: [&str; 5] =
    ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"];

#[derive(Debug, Clone)]
struct Asked {
    method: &'static str,
    target: &'static str,
    fields: Vec<(String, String)>,
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    status: u16,
    /// Of a refusal that a gRPC client reads.
    grpc_status: Option<String>,
    reason: Option<String>,
    /// The identity headers that the backend saw, if it saw the request.
    told: Option<BTreeMap<String, String>>,
}

/// A way for requests to come in.
struct Way {
    name: &'static str,
    address: SocketAddr,
    /// Whether refusals of gRPC requests are what a gRPC client reads, as they are at the gateway.
    speaks_grpc: bool,
}

#[test]
fn every_way_in_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let backend = RawBackend::start(|exchange| {
        let body = if exchange.seen.head.start_line.starts_with("HEAD ") { "" } else { "ok" };
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}")).map(|()| Then::KeepAlive)
    });
    let gateway = Gateway::start(&format!(
        "{}{LISTENING}{}",
        issuers(&directory),
        CONFIG.replace("BACKEND", &backend.address.to_string())
    ));
    let behind = |sidegate: Option<SocketAddr>| proxies::Behind {
        sidegate: sidegate.unwrap(),
        backend: backend.address,
        seconds: 10,
    };
    let (envoy, nginx, caddy, traefik) = (
        proxies::envoy(behind(gateway.authz_grpc)),
        proxies::nginx(behind(gateway.authz_http)),
        proxies::caddy(behind(gateway.authz_http)),
        proxies::traefik(behind(gateway.authz_http)),
    );
    let ways = [
        Way { name: "gateway", address: gateway.address(), speaks_grpc: true },
        Way { name: "envoy", address: envoy.address, speaks_grpc: true },
        Way { name: "nginx", address: nginx.address, speaks_grpc: false },
        Way { name: "caddy", address: caddy.address, speaks_grpc: false },
        Way { name: "traefik", address: traefik.address, speaks_grpc: false },
    ];

    let requests = requests();
    let answers: Vec<Vec<(u16, Option<String>)>> = (requests.iter().enumerate())
        .map(|(number, asked)| ways.iter().map(|way| asked.send(way, number)).collect())
        .collect();
    let file = gateway.directory().join("config.yaml");
    let explained: Vec<Said> = requests.iter().map(|asked| asked.explained(&file)).collect();
    drop((envoy, nginx, caddy, traefik));
    let log = Log::read(&gateway.stop().stdout);
    let seen = Backend::read(backend.finish());

    let (mut compared, mut by_itself, mut differences, mut kinds) = (0, 0, Vec::new(), BTreeSet::new());
    for (number, (asked, answers)) in requests.iter().zip(&answers).enumerate() {
        let said = |at: usize| {
            let (id, (status, grpc_status)) = (id_of(&ways[at], number), answers[at].clone());
            (log.0.contains_key(&id), Said { status, grpc_status, reason: log.reason(&id), told: seen.told(&id) })
        };
        let (_, expected) = said(0);
        let mut compare = |name: &str, said: &Said, expected: &Said| {
            compared += 1;
            if said != expected {
                differences.push(format!("{name}: {asked:?}\n  {said:?}\n  the gateway: {expected:?}"));
            }
        };
        // What `explain` prints is what the gateway decided, before anything is made of it for a gRPC client.
        let plain = Said { grpc_status: None, status: explained[number].status, ..expected.clone() };
        compare("explain", &explained[number], if expected.grpc_status.is_some() { &plain } else { &expected });
        for (at, way) in ways.iter().enumerate().skip(1) {
            let (was_asked, said) = said(at);
            if !was_asked {
                // A proxy may refuse by itself what is no URL, and then only as it would have been refused.
                by_itself += 1;
                assert_eq!((said.status, expected.status, &said.told), (400, 400, &None), "{}: {asked:?}", way.name);
            } else if way.speaks_grpc || expected.grpc_status.is_none() {
                compare(way.name, &said, &expected);
            } else {
                compare(
                    way.name,
                    &Said { status: 0, ..said },
                    &Said { status: 0, grpc_status: None, ..expected.clone() },
                );
            }
        }
        kinds.insert(expected);
    }
    println!(
        "{} requests through the gateway, Envoy, nginx, Caddy, Traefik and explain: {compared} comparisons, {} kinds of answers, \
         {by_itself} refused by a proxy before it asked, {} differences",
        requests.len(),
        kinds.len(),
        differences.len()
    );
    assert!(kinds.len() >= 20, "too few kinds of answers: {kinds:#?}");
    assert!(by_itself * 20 < compared, "too few were asked about: {by_itself} were not, of {compared}");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

fn id_of(way: &Way, number: usize) -> String {
    format!("{}-{number}", way.name)
}

impl Asked {
    fn send(&self, way: &Way, number: usize) -> (u16, Option<String>) {
        let mut all = vec![("X-Request-Id".to_owned(), id_of(way, number))];
        all.extend(self.fields.iter().cloned());
        if matches!(self.method, "POST" | "PUT" | "PATCH") {
            all.push(("Content-Length".to_owned(), "0".to_owned()));
        }
        let answer = exchange(way.address, &format!("{} {}", self.method, self.target), &all);
        (answer.status, answer.field("grpc-status").map(str::to_owned))
    }

    fn explained(&self, file: &std::path::Path) -> Said {
        let mut explain = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        explain.args(["explain", "--output", "json", "-c"]).arg(file).args(["-H", "Host: api.test"]);
        for (name, value) in &self.fields {
            explain.arg("-H").arg(format!("{name}: {value}"));
        }
        let output = explain.args(["--", self.method, self.target]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{self:?}: {output:?}"));
        let headers = report["headers"].as_object();
        let told = headers.filter(|_| report["decision"] == "allow").map(|headers| {
            let ours = headers.iter().filter(|(name, _)| IDENTITY.contains(&name.as_str()));
            ours.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
        });
        let status = report["status"].as_u64().unwrap().try_into().unwrap();
        Said { status, grpc_status: None, reason: report["reason"].as_str().map(str::to_owned), told }
    }
}

/// The access log, by request id.
struct Log(HashMap<String, Value>);

impl Log {
    fn read(text: &str) -> Self {
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        Self(entries.map(|entry| (entry["request_id"].as_str().unwrap().to_owned(), entry)).collect())
    }

    fn reason(&self, id: &str) -> Option<String> {
        self.0.get(id)?["reason"].as_str().map(str::to_owned)
    }
}

/// What the backend saw, by request id.
struct Backend(HashMap<String, Vec<(String, String)>>);

impl Backend {
    fn read(seen: Vec<Seen>) -> Self {
        let lower = |seen: Seen| -> Vec<(String, String)> {
            seen.head.fields.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
        };
        let all = seen.into_iter().map(|seen| {
            let fields = lower(seen);
            assert_eq!(disguised(&fields), None, "{fields:?}");
            let id = fields.iter().find(|(name, _)| name == "x-request-id").expect("a request id").1.clone();
            (id, fields)
        });
        Self(all.collect())
    }

    fn told(&self, id: &str) -> Option<BTreeMap<String, String>> {
        let fields = self.0.get(id)?.iter().filter(|(name, _)| IDENTITY.contains(&name.as_str()));
        let told: Vec<(String, String)> = fields.cloned().collect();
        let count = told.len();
        let told: BTreeMap<String, String> = told.into_iter().collect();
        assert_eq!(told.len(), count, "{id}: an identity header came twice");
        Some(told)
    }
}

/// A field that backends could take for one of ours, or for another request.
fn disguised(fields: &[(String, String)]) -> Option<&str> {
    let is_bad = |name: &str| {
        let folded: String = name.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '-' }).collect();
        NEVER.contains(&&*folded) || (IDENTITY.contains(&&*folded) && !IDENTITY.contains(&name))
    };
    fields.iter().map(|(name, _)| name.as_str()).find(|name| is_bad(name))
}

/// The demo issuer, and one whose tokens name several tenants.
fn issuers(directory: &TempDir) -> String {
    let file = directory.path().join("several.json");
    std::fs::write(&file, keys::jwks(&["rsa"])).unwrap();
    let issuers = json!([
        { "name": "demo", "issuer": "https://issuer.example", "audiences": ["https://api.example"],
          "keys": { "jwks_file": "./jwks.json" } },
        { "name": "several", "issuer": "https://several.test", "audiences": ["https://api.example"],
          "keys": { "jwks_file": file } },
    ]);
    format!("issuers: {issuers}\n")
}

fn several_tenants() -> String {
    let now = jiff::Timestamp::now().as_second();
    let claims = json!({ "iss": "https://several.test", "aud": "https://api.example", "sub": "acme", "client_id": "acme",
        "scope": "users:read users:write", "tenant_id": ["t1", "t2"], "roles": ["r1", "r2"], "iat": now, "exp": now + 3600 });
    keys::mint(&json!({ "alg": "RS256", "kid": "rsa", "typ": "at+jwt" }), &claims, keys::key("rsa"))
}

/// Made up of good parts and bad ones. The same requests in every run, but for their tokens' times.
fn requests() -> Vec<Asked> {
    let methods = vec!["GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];
    let bad = "/v1/users /v1/users/7/ /V1/users/7 /v1//users/7 /v1/./users/7 /v1/users/%2e%2e /v1/users/a%2Fb /v1/users/%zz \
               /v1/users/%25%32%65 /v1/users/7;a=b /nothing /v1/users/%FF /v1/users/a\\b /v1/users/7?a=\"b\" /v1/users/a%5Cb";
    let good = "/v1/users/7 /v1/users /v1/users/%C3%BC /v1/users/7?a=b&c=%2F.. /healthz /healthz?x /v1/me /v1/me?tenant=t9 \
                /v1/shadow /v1/users/:7,@!$&'()*+=~";
    let split = |text: &'static str| prop::sample::select(text.split_whitespace().collect::<Vec<_>>());
    let targets = prop_oneof![3 => split(good), 2 => Just("/v1/users/7"), 2 => split(bad)];
    let fields = (prop::sample::select(authorizations()), prop::sample::select(further()));
    let request = (prop::sample::select(methods), targets, fields).prop_map(|(method, target, (token, more))| {
        let token = token.map(|token| ("Authorization".to_owned(), token));
        Asked { method, target, fields: token.into_iter().chain(more).collect() }
    });
    let mut runner = TestRunner::deterministic();
    (0..REQUESTS).map(|_| request.new_tree(&mut runner).unwrap().current()).collect()
}

fn authorizations() -> Vec<Option<String>> {
    let good = mint(&[]);
    let forged = format!("{}AAAAAAAA", &good[..good.len() - 8]);
    let bearer = |token: String| Some(format!("Bearer {token}"));
    vec![
        None,
        bearer(good.clone()),
        bearer(good.clone()),
        Some(format!("bearer  {good}")),
        bearer(mint(&["--scope", "users:write"])),
        bearer(mint(&["--expires-in", "-3600"])),
        bearer(mint(&["--tenant", ""])),
        bearer(mint(&["--client", "globex", "--tenant", "t2"])),
        bearer(several_tenants()),
        bearer(several_tenants()),
        bearer(forged),
        bearer("rubbish".to_owned()),
        Some("Basic YTpi".to_owned()),
        Some("Bearer a b".to_owned()),
        Some("Bearer".to_owned()),
    ]
}

fn further() -> Vec<Vec<(String, String)>> {
    let rows: [&[(&str, &str)]; 17] = [
        &[],
        &[],
        &[("X-Tenant-Id", "t1")],
        &[("X-Tenant-Id", "t9")],
        &[("X-Tenant-Id", "t1"), ("X-Tenant-Id", "t2")],
        &[("X-Client-Id", "evil")],
        &[("x_tenant_id", "t1"), ("X-Scopes", "admin")],
        &[("X.Tenant.Id", "evil"), ("X-Tenant_Id", "evil")],
        &[("X-HTTP-Method-Override", "DELETE"), ("X-Method-Override", "DELETE")],
        &[("X-Original-URL", "/healthz"), ("X-Rewrite-URL", "/healthz")],
        &[("X-Original-URI", "/healthz"), ("X-Original-Method", "GET")],
        &[("X-Forwarded-Uri", "/healthz"), ("X-Forwarded-Method", "GET"), ("X-Forwarded-Host", "evil")],
        &[("Content-Type", "application/grpc")],
        &[("X-Roles", "admin"), ("X-Subject", "root")],
        &[("Connection", "X-Tenant-Id, close")],
        &[("Cookie", "a=b"), ("Accept", "*/*")],
        &[("X-Sidegate-Status", "200"), ("X-Forwarded-For", "192.0.2.1")],
    ];
    rows.map(fields).into()
}
