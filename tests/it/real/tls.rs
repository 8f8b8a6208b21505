//! A gateway with TLS on its listener.

use std::fs;

use crate::harness::gateway::{Gateway, complete};
use crate::harness::tokens;

const LISTENERS: &str = "listeners: [{address: 127.0.0.1:0, tls: {certificate: ./tls.crt, private_key: ./tls.key}}]
admin: {address: 127.0.0.1:0}
";

/// Starts a gateway whose certificate, its own authority, is for 127.0.0.1 and lies in its directory as `tls.crt`.
pub(super) fn start(config: &str) -> Gateway {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    write("tls.crt", &cert.pem());
    write("tls.key", &signing_key.serialize_pem());
    write("config.yaml", &complete(&format!("{LISTENERS}{config}")));
    fs::copy(tokens::JWKS_FILE, directory.path().join("jwks.json")).unwrap();
    Gateway::start_in(directory)
}
