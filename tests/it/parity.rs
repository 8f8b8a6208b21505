//! The proxy and `explain` say the same about every request: what a running gateway answers and logs is what the core
//! decides of the same head, and what `sidegate explain` prints.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::process::Command;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use sidegate::config;
use sidegate::core::decision::{Outcome, OwnAnswer};
use sidegate::core::head::RequestHead;
use sidegate::core::snapshot::Snapshot;
use sidegate::core::time::UnixSeconds;
use sidegate::core::{Facts, KeysAsked, NoMemo, decide};
use tempfile::TempDir;

use crate::harness::gateway::Gateway;
use crate::support::attacks;
use crate::support::mint::jwks;
use crate::support::path_attacks::{self, Paths};

/// How many requests are made up, beside those of the tables.
const MADE_UP: usize = 400;

#[test]
fn the_proxy_and_explain_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let text = configuration(&directory);
    let file = directory.path().join("config.yaml");
    fs::write(&file, &text).unwrap();
    let loaded = config::from_text("config.yaml", &text, directory.path(), &|_| None);
    let snapshot = loaded.unwrap_or_else(|problems| panic!("{}", problems.render(false))).snapshot;

    let requests = requests();
    let gateway = Gateway::start(&text);
    let statuses: Vec<u16> = requests.iter().enumerate().map(|(id, request)| request.send(&gateway, id)).collect();
    let log = Log::read(&gateway.stop().stdout);

    let mut kinds = BTreeMap::new();
    for (id, (request, status)) in requests.iter().zip(statuses).enumerate() {
        let entry = log.entry(id);
        let answered = Said { status, reason: entry["reason"].as_str().map(str::to_owned) };
        // The same moment: some tokens of the table are a second away from being good, or bad.
        let moment: Timestamp = entry["time"].as_str().unwrap().parse().unwrap();
        assert_eq!(answered, request.decided(&snapshot, moment), "{request:?}: {entry}");
        kinds.insert(answered, (request, moment));
    }
    assert!(kinds.len() >= 25, "too few kinds of answers: {:?}", kinds.keys());
    // The decision is one function. What `explain` makes of it depends on the kind of answer alone.
    for (answered, (request, moment)) in kinds {
        let mut explain = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        explain.args(["explain", "--output", "json", "-c"]).arg(&file);
        assert_eq!(request.explained(&mut explain, moment), answered, "{request:?}");
    }
}

/// What is said of a request. A shadowed one has a good status and a reason.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    status: u16,
    reason: Option<String>,
}

#[derive(Debug, Clone)]
struct Asked {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
}

impl Asked {
    fn new(method: &str, target: &str, host: &str) -> Self {
        Self { method: method.into(), target: target.into(), fields: vec![("Host".into(), host.into())] }
    }

    fn send(&self, gateway: &Gateway, id: usize) -> u16 {
        let fields: String = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut client = gateway.connect();
        client.send(format!("{} {} HTTP/1.1\r\n{fields}X-Request-Id: {id}\r\n\r\n", self.method, self.target));
        let response = if self.method == "HEAD" { client.receive_head() } else { client.receive() };
        assert_eq!(response.fields.one("x-request-id"), Some(&*id.to_string()), "{self:?}");
        response.status
    }

    fn decided(&self, snapshot: &Snapshot, moment: Timestamp) -> Said {
        let method: Method = self.method.parse().unwrap();
        let headers: HeaderMap = self.fields.iter().map(|(name, value)| field(name, value)).collect();
        let head = RequestHead { method: &method, target: &self.target, headers: (&headers).into() };
        let facts = Facts { memo: &NoMemo, keys: KeysAsked::NotYet };
        let decision = decide(snapshot, &head, &facts, UnixSeconds(moment.as_second())).unwrap();
        let (status, reason) = match &decision.outcome {
            Outcome::Forward(_) => (200, decision.trace.shadowed.as_ref()),
            Outcome::Answer(OwnAnswer::ResourceMetadata) => (200, None),
            Outcome::Answer(OwnAnswer::Preflight) => (204, None),
            Outcome::Reject(rejection) => (rejection.reason.answer().status, Some(rejection)),
        };
        Said { status, reason: reason.map(|rejection| rejection.reason.label().to_owned()) }
    }

    fn explained(&self, explain: &mut Command, moment: Timestamp) -> Said {
        for (name, value) in &self.fields {
            explain.arg("-H").arg(format!("{name}: {value}"));
        }
        let output = explain.args(["--at", &moment.to_string(), "--", &self.method, &self.target]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{self:?}: {output:?}"));
        assert_eq!(output.status.code(), Some(i32::from(report["decision"] == "deny")), "{report}");
        let status = report["status"].as_u64().unwrap().try_into().unwrap();
        Said { status, reason: report["reason"].as_str().map(str::to_owned) }
    }
}

fn field(name: &str, value: &str) -> (HeaderName, HeaderValue) {
    (name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
}

/// The access log, by request id.
struct Log(HashMap<String, Value>);

impl Log {
    fn read(text: &str) -> Self {
        let entries = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        Self(entries.map(|entry| (entry["request_id"].as_str().unwrap().to_owned(), entry)).collect())
    }

    fn entry(&self, id: usize) -> &Value {
        self.0.get(&id.to_string()).unwrap_or_else(|| panic!("request {id} is not in the access log"))
    }
}

/// One configuration for both attack tables, with the issuers and routes that they speak of, and with answers of the
/// gateway's own.
fn configuration(directory: &TempDir) -> String {
    let key_file = |name: &str, keys: &[&str]| {
        let path = directory.path().join(name);
        fs::write(&path, jwks(keys)).unwrap();
        json!({ "jwks_file": path })
    };
    let main = key_file("main.json", &["rsa", "p256", "p384", "ed"]);
    let (other, prefixed) = (key_file("other.json", &["rsa-2", "p256-2"]), key_file("prefixed.json", &["rsa-2"]));
    let audiences = ["https://api.test"];
    let issuers = json!([
        { "name": "issuer", "issuer": "https://issuer.test", "audiences": audiences, "keys": main },
        { "name": "other", "issuer": "https://other.test", "audiences": audiences, "keys": other,
          "algorithms": ["RS256", "ES256"], "clients": ["acme"], "tenants": ["t1", "t2"] },
        { "name": "prefixed", "issuer": "https://prefixed.test", "audiences": audiences, "keys": prefixed,
          "scope_prefix": "api/" },
    ]);
    let routes = [token_routes(), path_routes()].concat();
    format!(
        "listeners: [{{address: 127.0.0.1:0}}]
workers: 1
limits: {{drain_delay: 1ms}}
resource: https://api.test
cors: {{origins: [https://app.test]}}
issuers: {issuers}
roles: {{admin: {{scopes: ['users:write']}}, chief: {{includes: [admin]}}}}
upstreams: {{folding: {{builtin: echo}}, exact: {{builtin: echo, paths: exact}}}}
identity: {{tenant: {{header: X-Tenant-Id, required: false, select: true}}}}
routes: {routes}
",
        routes = Value::Array(routes)
    )
}

fn token_routes() -> Vec<Value> {
    [
        json!({ "match": "/t/read", "scopes": ["users:read"] }),
        json!({ "match": "/t/write", "scopes": ["users:write"] }),
        json!({ "match": "/t/admin", "roles": ["admin"] }),
        json!({ "match": "/t/any", "authenticated": true }),
        json!({ "match": "/t/tenant", "authenticated": true, "tenant": "required" }),
        json!({ "match": "/t/both-kinds", "authenticated": true, "token_kinds": ["client", "user"] }),
        json!({ "match": "/t/issuer-only", "authenticated": true, "issuers": ["issuer"] }),
        json!({ "match": "/t/acme-only", "authenticated": true, "clients": ["acme"] }),
        json!({ "match": "GET /t/shadow", "scopes": ["nobody:has"], "mode": "shadow" }),
    ]
    .map(|mut route| {
        route["upstream"] = json!("folding");
        route
    })
    .into()
}

fn path_routes() -> Vec<Value> {
    let route = |row: &path_attacks::RouteRow| {
        let upstream = match row.paths {
            Paths::Folding => "folding",
            Paths::Exact => "exact",
        };
        let mut route = json!({ "match": row.matcher, "public": true, "upstream": upstream });
        if let Some(host) = &row.host {
            route["host"] = json!(host);
        }
        route
    };
    path_attacks::load().routes.iter().map(route).collect()
}

fn requests() -> Vec<Asked> {
    let now = Timestamp::now().as_second();
    let tokens = attacks::load(now).into_iter().map(|row| {
        let mut asked = Asked::new("GET", &format!("/t/{}", row.route), "a.test");
        asked.fields.extend(row.headers);
        asked
    });
    let paths = path_attacks::load().cases;
    let paths = paths.iter().filter(|case| is_target(&case.path));
    let paths = paths.map(|case| Asked::new(case.method(), &case.path, case.host()));
    let tables: Vec<Asked> = tokens.chain(paths).collect();
    let made_up = made_up(&tables);
    [tables, made_up].concat()
}

/// Whether these bytes can stand in a request line at all: what cannot never becomes a decision.
fn is_target(target: &str) -> bool {
    !target.is_empty() && target.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// Requests put together of parts of those in the tables and of what the tables leave out. The same ones in every run.
fn made_up(tables: &[Asked]) -> Vec<Asked> {
    let among = |values: &[&'static str]| prop::sample::select(values.to_vec());
    let methods = among(&["GET", "GET", "HEAD", "POST", "OPTIONS", "DELETE", "get", "BREW"]);
    let targets: Vec<String> = tables.iter().map(|asked| asked.target.clone()).collect();
    let own = among(&["/t/shadow", "/T/Shadow", "/.well-known/oauth-protected-resource", "http://b.test/t/any", "*"]);
    let targets = prop_oneof![3 => prop::sample::select(targets), 1 => own.prop_map(str::to_owned)];
    let queries = among(&["", "", "?", "?a=b", "?a=/../b", "?a=%zz", "?a=\"b\"", "?<b>", "?a#b", "?\u{e9}", "?a?b"]);
    let hosts = among(&["a.test", "A.TEST.:80", "[::1]", "files.example.com", "b,c", "u@h", "a:b", ""]);
    let further = among(&["", "X-Tenant-Id: t1", "X-Tenant-Id: t9", "x_tenant_id: t1", "Cookie: a"]);
    let origin = among(&["", "", "Origin: https://app.test\nAccess-Control-Request-Method: GET"]);
    let fields = prop::sample::select(tables.iter().map(|asked| asked.fields[1..].to_vec()).collect::<Vec<_>>());
    let parts = (methods, targets, queries, hosts, fields, further, origin);
    let request = parts.prop_map(|(method, target, query, host, fields, further, origin)| {
        let mut asked = Asked::new(method, &format!("{target}{query}"), host);
        let split = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        asked.fields.extend(fields);
        asked.fields.extend(further.lines().chain(origin.lines()).filter_map(split));
        asked
    });
    let mut runner = TestRunner::deterministic();
    (0..MADE_UP).map(|_| request.new_tree(&mut runner).unwrap().current()).collect()
}
