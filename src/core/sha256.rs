//! SHA-256 (FIPS 180-4), for what is known by its hash.

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// The hash of these bytes, one part after the other.
pub(super) fn sha256<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; SHA256_OUTPUT_LEN] {
    let mut context = Context::new(&SHA256);
    parts.into_iter().for_each(|part| context.update(part));
    let mut hash = [0; SHA256_OUTPUT_LEN];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
