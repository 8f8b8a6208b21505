//! Tokens by the script that the examples ship, so that the script is tested as well.

use std::process::Command;

const MINT_TOKEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/mint-token");

/// The keys for [`mint`]'s tokens.
pub(crate) const JWKS_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/keys/jwks.json");

/// A token of the demo issuer; arguments as `examples/mint-token --help` says.
pub(crate) fn mint(arguments: &[&str]) -> String {
    let output = Command::new(MINT_TOKEN).args(arguments).output().expect("sh and openssl are installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
