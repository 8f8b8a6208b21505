//! Tokens that are revoked one by one.

use crate::core::time::UnixSeconds;

/// A token that is to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevokedToken {
    /// Whose it is.
    pub client_id: Box<str>,
    /// Its `jti`.
    pub jti: Box<str>,
    /// The first second at which nobody takes it any more, for its age.
    pub expires: UnixSeconds,
}

/// Why a token is not revoked: its client has revoked as many that are not expired as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client has revoked too many tokens that are not expired yet")]
pub struct TooManyRevoked {
    /// When the first of them expires.
    pub until: UnixSeconds,
}
