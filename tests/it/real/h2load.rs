//! HTTP/2 by nghttp2: many streams at a time on many connections, each answer good.

use std::process::Command;

use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;

/// Runs h2load against a gateway and wants every answer to be 2xx.
fn all_good(gateway: &Gateway, scheme: &str, more: &[&str]) {
    let token = mint(&["--scope", "users:read"]);
    let output = Command::new("h2load")
        .args(["--requests=2000", "--clients=10", "--max-concurrent-streams=20", "--connection-active-timeout=30"])
        .args(["--header", &format!("authorization: Bearer {token}")])
        .args(more)
        .arg(format!("{scheme}://{}/v1/users/7", gateway.address()))
        .output()
        .expect("h2load is installed (tests/install-tools)");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(report.contains("2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
}

const ROUTES: &str = "upstreams: {echo: {builtin: echo}}
routes: [{match: '/v1/users/{id}', scopes: ['users:read'], upstream: echo}]
";

#[test]
fn without_tls() {
    let gateway = Gateway::start(ROUTES);
    all_good(&gateway, "http", &[]);
    all_good(&gateway, "http", &["--data", concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")]);
    // The same listener, spoken to in HTTP/1.1.
    all_good(&gateway, "http", &["--h1"]);
}

#[test]
fn over_tls() {
    let gateway = super::tls::start(ROUTES);
    all_good(&gateway, "https", &[]);
    all_good(&gateway, "https", &["--h1"]);
}
