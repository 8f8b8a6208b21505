//! The errors of the authority's endpoints (RFC 6749 section 5.2): one table of codes and statuses.

use http::StatusCode;
use thiserror::Error;

/// An answer that is a no. The text is one of ours: it cannot hold what the client has sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: {description}", .code.name())]
pub struct OAuthError {
    /// What kind of no.
    pub code: ErrorCode,
    /// `error_description`.
    pub description: &'static str,
    /// What the client is not told.
    cause: Option<Cause>,
}

/// What exactly was wrong, and about which client.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cause {
    detail: &'static str,
    client_id: Option<Box<str>>,
}

/// What the access log tells of an answer that is a no. It goes beside the answer and not in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// `error`, and what exactly was wrong: one of our texts.
    pub detail: String,
    /// The client, if there is one. An id that is nobody's may be anything: a secret that was put in the wrong place, too.
    pub client_id: Option<Box<str>>,
}

/// Kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is not one of the protocol.
    InvalidRequest,
    /// Likewise: it has not a method of the endpoint. Holds the value of `Allow`.
    MethodNotAllowed(&'static str),
    /// Likewise: its body is too long.
    TooLarge,
    /// Who asks is not known for sure.
    InvalidClient,
    /// The token is somebody else's.
    InvalidGrant,
    /// The grant type is another than ours.
    UnsupportedGrantType,
    /// A scope is malformed, or the client does not have it.
    InvalidScope,
    /// A resource is not one that tokens are issued for (RFC 8707 section 2).
    InvalidTarget,
    /// Too many failures. Holds how long to wait.
    RateLimited {
        /// Seconds.
        retry_after_seconds: u32,
    },
    /// What the answer depends on cannot be reached.
    Unavailable,
}

/// How long to wait for storage that is not there.
const RETRY_AFTER_SECONDS: u32 = 5;

impl OAuthError {
    /// An error of this kind.
    #[must_use]
    pub const fn new(code: ErrorCode, description: &'static str) -> Self {
        Self { code, description, cause: None }
    }

    /// `invalid_request`.
    #[must_use]
    pub const fn request(description: &'static str) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    /// `invalid_client`, with the one text for whatever is wrong about a client: whoever asks does not learn which ones there
    /// are.
    #[must_use]
    pub const fn client() -> Self {
        Self::new(ErrorCode::InvalidClient, "client authentication failed")
    }

    /// The same answer, with what only the log is told.
    #[must_use]
    pub fn because(self, detail: &'static str, client_id: Option<Box<str>>) -> Self {
        Self { cause: Some(Cause { detail, client_id }), ..self }
    }

    /// What the access log tells.
    #[must_use]
    pub fn refused(self) -> Refused {
        let Self { code, description, cause } = self;
        let Cause { detail, client_id } = cause.unwrap_or(Cause { detail: description, client_id: None });
        Refused { detail: format!("{}: {detail}", code.name()), client_id }
    }

    /// `temporarily_unavailable`.
    #[must_use]
    pub const fn unavailable() -> Self {
        Self::new(ErrorCode::Unavailable, "the authority cannot answer at the moment")
    }
}

impl ErrorCode {
    /// `error`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::MethodNotAllowed(_) | Self::TooLarge => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable => "temporarily_unavailable",
        }
    }

    /// The status that goes with it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest
            | Self::InvalidGrant
            | Self::UnsupportedGrantType
            | Self::InvalidScope
            | Self::InvalidTarget => StatusCode::BAD_REQUEST,
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Seconds after which to try again, where that may help.
    #[must_use]
    pub const fn retry_after_seconds(self) -> Option<u32> {
        match self {
            Self::RateLimited { retry_after_seconds } => Some(retry_after_seconds),
            Self::Unavailable => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }
}
