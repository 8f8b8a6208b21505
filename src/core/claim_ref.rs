//! Stand-in: where a claim is found.

use std::fmt;

use super::snapshot::ClaimRef;

/// Why a text names no claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRefError(&'static str);

impl fmt::Display for ClaimRefError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl ClaimRef {
    /// A plain name, or a JSON Pointer if it starts with `/`.
    ///
    /// # Errors
    /// For an empty text and for a pointer with a bad escape.
    pub fn parse(text: &str) -> Result<Self, ClaimRefError> {
        let Some(rest) = text.strip_prefix('/') else {
            return if text.is_empty() {
                Err(ClaimRefError("a claim's name is empty"))
            } else {
                Ok(Self::Name(text.into()))
            };
        };
        let unescape = |token: &str| -> Box<str> { token.replace("~1", "/").replace("~0", "~").into() };
        if rest.replace("~0", "").replace("~1", "").contains('~') {
            return Err(ClaimRefError("in a JSON Pointer ~ is followed by 0 or 1"));
        }
        Ok(Self::Pointer(rest.split('/').map(unescape).collect()))
    }
}
