//! What the repository ships to start from works as its comments say.

use std::process::Command;

use crate::harness::gateway::Gateway;
use crate::harness::tokens::mint;

const CONFIG: &str = include_str!("../../config.example.yaml");

/// The example on free ports, with its key set beside it.
fn start() -> Gateway {
    let config = CONFIG.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0");
    Gateway::start(&config.replace("./examples/keys/jwks.json", "./jwks.json"))
}

fn request(line: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!("{line} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n{authorization}\r\n")
}

#[test]
fn the_example_configuration_passes_check() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    command.args(["check", "-c", "config.example.yaml"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_example_configuration_answers_as_it_says() {
    let gateway = start();
    let token = mint(&[]);
    let ask = |line: &str, token: Option<&str>| gateway.ask(request(line, token)).status;
    assert_eq!(ask("GET /v1/users/7", None), 401);
    assert_eq!(ask("GET /v1/users/7", Some(&token)), 200);
    assert_eq!(ask("POST /v1/users", Some(&token)), 403);
    assert_eq!(ask("GET /v1/files/a/b", Some(&mint(&["--scope", "files:admin"]))), 200);
    assert_eq!(ask("GET /v1/me", Some(&mint(&["--scope", "", "--tenant", ""]))), 200);
    assert_eq!(ask("DELETE /healthz", None), 200);
    assert_eq!(ask("DELETE /v1/me", Some(&token)), 405);
    assert_eq!(ask("GET /v1/other", Some(&token)), 404);
    assert_eq!(ask("GET /v1/users/7", Some(&mint(&["--expires-in", "-3600"]))), 401);
    assert_eq!(ask("GET /v1/users/7", Some(&mint(&["--tenant", ""]))), 403);
}

#[test]
fn the_example_backend_is_told_who_calls() {
    let token = mint(&["--tenant", "t7", "--client", "globex", "--scope", "users:read users:write"]);
    let response = start().ask(request("GET /v1/users/7", Some(&token)));
    let seen = response.text().to_ascii_lowercase();
    for (header, value) in [("x-tenant-id", "t7"), ("x-client-id", "globex"), ("x-scopes", "users:read users:write")] {
        assert!(seen.contains(header) && seen.contains(value), "{header}: {value} in {seen}");
    }
}
