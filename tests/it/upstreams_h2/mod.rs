//! Backends that speak HTTP/2, TLS, or both.

mod real;
mod streams;

use std::fs;
use std::path::Path;

use crate::harness::gateway::{Gateway, complete};
use crate::harness::tokens;

/// A gateway with one public route to the backend at `url`. `upstream` goes into the upstream; `prepare` may put files
/// beside the configuration.
fn gateway(url: &str, upstream: &str, prepare: impl FnOnce(&Path)) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    prepare(directory.path());
    fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
    fs::write(directory.path().join("config.yaml"), complete(&config(url, upstream))).unwrap();
    Gateway::start_in(directory)
}

fn config(url: &str, upstream: &str) -> String {
    format!(
        "workers: 1
upstreams: {{raw: {{urls: ['{url}']{upstream}}}}}
routes:
  - {{match: '/{{*path}}', public: true, upstream: raw}}
"
    )
}

/// A request without a body.
fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}
