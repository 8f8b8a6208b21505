//! The bearer token of a request (RFC 6750 section 2.1): exactly one, bounded, well formed.

use http::HeaderMap;

use super::rejection::Rejection;

/// A token as it stands in the header: nothing is known of it but its alphabet and its length.
#[derive(Clone, Copy)]
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    /// The token. Whoever calls this sees to it that it goes nowhere but into a parser or a hash.
    #[must_use]
    pub fn reveal(&self) -> &'a str {
        self.0
    }
}

/// The bearer token of these header fields.
///
/// # Errors
/// `token_missing`, `token_duplicate`, `token_syntax`, `token_too_large`.
pub fn extract(_headers: &HeaderMap, _bytes_max: usize) -> Result<BearerToken<'_>, Rejection> {
    todo!()
}
