//! HTTP/2 by nghttp2: many streams at a time on many connections, each answer good.

use std::fs;
use std::process::Command;

use super::tls;
use crate::harness::gateway::Gateway;
use crate::harness::nginx::Nginx;
use crate::harness::tokens::mint;

/// Some tens of kilobytes to send and to get: more than a window in flight, and more than one frame.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");

const ECHO: &str = "upstreams: {echo: {builtin: echo}}
routes: [{match: '/v1/users/{id}', scopes: ['users:read'], upstream: echo}]
";

/// Runs h2load against a gateway and wants every answer to be 2xx.
fn all_good(gateway: &Gateway, scheme: &str, more: &[&str]) {
    let token = mint(&["--scope", "users:read"]);
    let output = Command::new("h2load")
        .args(["--requests=1000", "--clients=10", "--max-concurrent-streams=20", "--connection-active-timeout=30"])
        .args(["--header", &format!("authorization: Bearer {token}")])
        .args(more)
        .arg(format!("{scheme}://{}/v1/users/7", gateway.address()))
        .output()
        .expect("h2load is installed (tests/install-tools)");
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(report.contains("1000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
    assert_eq!(report.contains("Application protocol: h2"), !more.contains(&"--h1"), "{report}");
}

#[test]
fn over_tls() {
    let gateway = tls::start(ECHO);
    all_good(&gateway, "https", &[]);
    all_good(&gateway, "https", &["--h1"]);
}

#[test]
fn before_a_backend_that_speaks_http_1_only() {
    // nginx reads a body before it asks its own backend, here itself, for the file.
    let nginx = Nginx::start(
        "location /v1/ { proxy_pass http://$server_addr:$server_port/file; proxy_method GET; proxy_pass_request_body off;
            proxy_set_header Content-Length ''; }",
    );
    fs::copy(FILE, nginx.root().join("file")).unwrap();
    let gateway = Gateway::start(&format!(
        "upstreams: {{nginx: {{urls: ['http://{}']}}}}
routes: [{{match: '/v1/users/{{id}}', scopes: ['users:read'], upstream: nginx}}]
",
        nginx.address
    ));
    all_good(&gateway, "http", &[]);
    all_good(&gateway, "http", &["--data", FILE]);
}
