//! Certificates that are their own authority, and a gateway that shows one.

use std::fs;

use tempfile::TempDir;

use crate::harness::gateway::{Gateway, complete};
use crate::harness::tokens;

const LISTENERS: &str = "listeners: [{address: 127.0.0.1:0, tls: {certificate: ./tls.crt, private_key: ./tls.key}}]
admin: {address: 127.0.0.1:0}
";

/// A directory with a certificate for the loopback, `tls.crt`, and its key, `tls.key`.
pub(super) fn certificate() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    fs::write(directory.path().join("tls.crt"), cert.pem()).unwrap();
    fs::write(directory.path().join("tls.key"), signing_key.serialize_pem()).unwrap();
    directory
}

/// Starts a gateway with TLS on its listener; its certificate lies in its directory as `tls.crt`.
pub(super) fn start(config: &str) -> Gateway {
    let directory = certificate();
    fs::write(directory.path().join("config.yaml"), complete(&format!("{LISTENERS}{config}"))).unwrap();
    fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
    Gateway::start_in(directory)
}

/// The path of a file in a directory.
pub(super) fn file(directory: &std::path::Path, name: &str) -> String {
    directory.join(name).display().to_string()
}
