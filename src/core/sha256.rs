//! SHA-256 (FIPS 180-4), for what is known by its hash.

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

/// The hash of these bytes. In one go, which allocates nothing.
pub(super) fn sha256(bytes: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}
