//! The one canonical path.

use std::borrow::Cow;

use super::rejection::{Reason, Rejection};

/// A path with one meaning only: percent-decoded, starting with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// # Errors
    /// `path_ambiguous` for a path that somebody on its way could read differently.
    pub fn parse(raw: &'a str) -> Result<Self, Rejection> {
        // placeholder until the module is written
        if !raw.starts_with('/') || raw.contains('%') {
            return Err(Rejection::new(Reason::PathAmbiguous, "odd path"));
        }
        Ok(Self(Cow::Borrowed(raw)))
    }

    /// The decoded path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
