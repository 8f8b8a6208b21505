//! Real proxies with the files in `deploy`, in which only the addresses are changed, and how long Sidegate has to answer.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;

use super::exchange;
use crate::harness::nginx::Nginx;
use crate::harness::process::Process;
use crate::harness::{PATIENCE, free_address};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const ENVOY: &str = include_str!("../../../deploy/envoy/envoy.yaml");
const CADDY: &str = include_str!("../../../deploy/caddy/Caddyfile");
const TRAEFIK: &str = include_str!("../../../deploy/traefik/traefik.yml");
const TRAEFIK_ROUTES: &str = include_str!("../../../deploy/traefik/dynamic.yml");
const NGINX: &str = include_str!("../../../deploy/nginx/sidegate.conf");

/// A proxy that asks Sidegate, and forwards to a backend.
pub(super) struct Asking {
    pub(super) address: SocketAddr,
    _process: Process,
    _directory: TempDir,
}

/// What the proxies have to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind {
    pub(super) sidegate: SocketAddr,
    pub(super) backend: SocketAddr,
    /// How many seconds Sidegate has to answer: 10 in the files.
    pub(super) seconds: u8,
}

impl Behind {
    /// The file with `time` in it, which says how long Sidegate has.
    fn with_patience(self, file: &str, time: &str) -> String {
        assert_eq!(file.matches(time).count(), 1, "{time}");
        file.replace(time, &time.replace("10s", &format!("{}s", self.seconds)))
    }
}

pub(super) fn envoy(behind: Behind) -> Asking {
    let address = free_address();
    let text = behind
        .with_patience(ENVOY, "  timeout: 10s")
        .replace("port_value: 10000", &format!("port_value: {}", address.port()))
        .replace("port_value: 9191", &format!("port_value: {}", behind.sidegate.port()))
        .replace("port_value: 3000", &format!("port_value: {}", behind.backend.port()));
    let (directory, file) = written("envoy.yaml", &text);
    let mut command = Command::new(installed_envoy());
    command.args(["--concurrency", "1", "--disable-hot-restart", "-c"]).arg(file);
    let process = Process::spawn(&mut command);
    process.stderr.wait_for("Envoy to start", |log| log.contains("starting main dispatch loop").then_some(()));
    Asking { address, _process: process, _directory: directory }
}

pub(super) fn caddy(behind: Behind) -> Asking {
    let address = free_address();
    let text = behind
        .with_patience(CADDY, "response_header_timeout 10s")
        .replace("http://:8000", &format!("http://:{}", address.port()))
        .replace("127.0.0.1:9192", &behind.sidegate.to_string())
        .replace("127.0.0.1:3000", &behind.backend.to_string());
    let (directory, file) = written("Caddyfile", &text);
    let mut command = Command::new(Path::new(ROOT).join("target/tools/venv/bin/caddy"));
    command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file);
    command.env("HOME", directory.path()).env("XDG_DATA_HOME", directory.path());
    let process = Process::spawn(&mut command);
    process.stderr.wait_for("Caddy to start", |log| log.contains("serving initial configuration").then_some(()));
    Asking { address, _process: process, _directory: directory }
}

pub(super) fn traefik(behind: Behind) -> Asking {
    let address = free_address();
    let routes = TRAEFIK_ROUTES
        .replace("127.0.0.1:9192", &behind.sidegate.to_string())
        .replace("127.0.0.1:3000", &behind.backend.to_string());
    let (directory, file) = written("dynamic.yml", &routes);
    let text = TRAEFIK.replace("127.0.0.1:8000", &address.to_string()).replace("dynamic.yml", file.to_str().unwrap());
    let file = directory.path().join("traefik.yml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(Path::new(ROOT).join("target/tools/venv/bin/traefik"));
    command.arg(format!("--configFile={}", file.display()));
    let process = Process::spawn(&mut command);
    process.stdout.wait_for("Traefik to start", |log| log.contains("*file.Provider").then_some(()));
    // It listens before it has read its routes, and does not tell when it has.
    let started = Instant::now();
    while exchange(address, "GET /", &[]).body == "404 page not found\n" {
        assert!(started.elapsed() < PATIENCE, "Traefik has no routes: {}", process.stdout.text());
    }
    Asking { address, _process: process, _directory: directory }
}

pub(super) fn nginx(behind: Behind) -> Nginx {
    let text = behind
        .with_patience(NGINX, "proxy_read_timeout 10s")
        .replace("127.0.0.1:9192", &behind.sidegate.to_string())
        .replace("127.0.0.1:3000", &behind.backend.to_string());
    Nginx::start(&text)
}

/// The binary in the wheel: what stands on the environment's PATH is a program that starts it and stays in between.
fn installed_envoy() -> PathBuf {
    let libraries = fs::read_dir(Path::new(ROOT).join("target/tools/venv/lib")).expect("tests/install-tools was run");
    let binary = libraries.map(|entry| entry.unwrap().path().join("site-packages/envoy/_bin/envoy"));
    binary.into_iter().find(|path| path.is_file()).expect("tests/install-tools was run")
}

fn written(name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(name);
    fs::write(&file, text).unwrap();
    (directory, file)
}

/// A Traefik that does not know `aliasHeadersStrategy` has nothing else.
#[test]
fn the_spellings_of_what_traefik_is_told_are_taken_out() {
    let file: serde_json::Value = serde_yaml::from_str(TRAEFIK_ROUTES).unwrap();
    let middlewares = &file["http"]["middlewares"];
    let told = middlewares["sidegate"]["forwardAuth"]["authResponseHeaders"].as_array().unwrap();
    let taken_out = middlewares["spellings"]["headers"]["customRequestHeaders"].as_object().unwrap();
    for header in told.iter().map(|name| name.as_str().unwrap()).filter(|name| *name != "X-Request-Id") {
        assert!(taken_out.contains_key(&header.replace('-', "_")), "{header}");
    }
    assert!(taken_out.values().all(|value| value == ""));
}
