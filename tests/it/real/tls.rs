//! A gateway with TLS on its listener, and certificates as files.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::harness::certificates::Authority;
use crate::harness::gateway::{Gateway, complete};
use crate::harness::tokens;

const LISTENERS: &str = "listeners: [{address: 127.0.0.1:0, tls: {certificate: ./tls.crt, private_key: ./tls.key}}]
admin: {address: 127.0.0.1:0}
";

/// A directory with a certificate for the loopback, `tls.crt`, its key, `tls.key`, and who signed it, `ca.crt`.
pub(super) fn certificate() -> TempDir {
    let (directory, authority) = (tempfile::tempdir().unwrap(), Authority::new("authority of the tests"));
    let issued = authority.issue("peer");
    for (name, pem) in [("tls.crt", &issued.certificate), ("tls.key", &issued.key), ("ca.crt", &authority.pem)] {
        fs::write(directory.path().join(name), pem).unwrap();
    }
    directory
}

/// Starts a gateway with TLS on its listener; who signed its certificate lies in its directory as `ca.crt`.
pub(super) fn start(config: &str) -> Gateway {
    let directory = certificate();
    fs::write(directory.path().join("config.yaml"), complete(&format!("{LISTENERS}{config}"))).unwrap();
    fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
    Gateway::start_in(directory)
}

/// The path of a file in a directory.
pub(super) fn file(directory: &Path, name: &str) -> String {
    directory.join(name).display().to_string()
}
