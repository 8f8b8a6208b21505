//! What the repository ships to start from works as its comments say.

mod folders;
mod readme;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::harness::curl::curl;
use crate::harness::gateway::Gateway;

const CONFIG: &str = include_str!("../../../config.example.yaml");

/// The example on free ports. Its storage is where it runs.
fn start() -> Gateway {
    let config = CONFIG.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9901", "127.0.0.1:0");
    // A name and no address: it does not have to be where the listener is.
    let config = config.replace("issuer: http://127.0.0.1:0", "issuer: http://127.0.0.1:8080");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.yaml"), config).unwrap();
    Gateway::start_in(directory)
}

fn sidegate(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
    let output = command.args(arguments).args(["-c", "config.yaml"]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A client that the command line has made, and a token for it that curl has got.
fn token(gateway: &Gateway, id: &str, rights: &[&str]) -> String {
    let create = [&["client", "create", "--output", "json", "--id", id, "--name", id], rights].concat();
    let client: Value = serde_json::from_str(&sidegate(gateway.directory(), &create)).unwrap();
    let credentials = format!("{id}:{}", client["client_secret"].as_str().unwrap());
    let url = format!("http://{}/oauth2/token", gateway.address());
    let answer = curl(&["--user", &credentials, "--data", "grant_type=client_credentials", &url]);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
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
    let reader = token(&gateway, "reader", &["--scope", "users:read", "--tenant", "t1"]);
    let writer = token(&gateway, "writer", &["--role", "users.change", "--tenant", "t1"]);
    let files = token(&gateway, "files", &["--scope", "files:admin", "--tenant", "t1"]);
    let nobody = token(&gateway, "nobody", &["--scope", "users:read"]);
    let ask = |line: &str, token: Option<&str>| gateway.ask(request(line, token)).status;
    assert_eq!(ask("GET /v1/users/7", None), 401);
    assert_eq!(ask("GET /v1/users/7", Some(&reader)), 200);
    assert_eq!(ask("POST /v1/users", Some(&reader)), 403);
    assert_eq!(ask("POST /v1/users", Some(&writer)), 200);
    assert_eq!(ask("GET /v1/users/7", Some(&writer)), 200, "who may change may view");
    assert_eq!(ask("GET /v1/files/a/b", Some(&files)), 200);
    assert_eq!(ask("GET /v1/me", Some(&nobody)), 200);
    assert_eq!(ask("GET /v1/users/7", Some(&nobody)), 403, "no tenant");
    assert_eq!(ask("DELETE /healthz", None), 200);
    assert_eq!(ask("DELETE /v1/me", Some(&reader)), 405);
    assert_eq!(ask("GET /v1/other", Some(&reader)), 404);
}

#[test]
fn the_example_backend_is_told_who_calls() {
    let gateway = start();
    let token = token(&gateway, "globex", &["--tenant", "t7", "--scope", "users:read", "--scope", "users:write"]);
    let seen = gateway.ask(request("GET /v1/users/7", Some(&token))).text().to_ascii_lowercase();
    for (header, value) in [("x-tenant-id", "t7"), ("x-client-id", "globex"), ("x-scopes", "users:read users:write")] {
        assert!(seen.contains(header) && seen.contains(value), "{header}: {value} in {seen}");
    }
}
