//! Time as the core sees it: a number that somebody else read from a clock.

/// Seconds since 1970-01-01T00:00:00Z, without leap seconds (RFC 7519 `NumericDate`, whole seconds).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// This moment and `seconds` more. Stops at the ends of the range instead of wrapping around.
    #[must_use]
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}
