//! Why a request could not be forwarded: which side failed, and how.

use std::error::Error;
use std::fmt;

use crate::core::rejection::Reason;

/// An error of whatever type.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A request that got no answer from its backend.
#[derive(Debug)]
pub struct UpstreamError {
    kind: UpstreamErrorKind,
    detail: &'static str,
    source: Option<BoxError>,
}

/// What failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamErrorKind {
    /// No connection to the backend: nothing of the request was sent.
    Connect,
    /// The backend's answer is no HTTP that can be passed on, or it closed before it had answered.
    Protocol,
    /// The backend took too long to answer, or to take the request's body.
    Timeout,
    /// The client's body ended in an error. The backend saw the request aborted; nothing is wrong with it.
    RequestBody,
}

impl UpstreamError {
    pub(super) fn new(kind: UpstreamErrorKind, detail: &'static str) -> Self {
        Self { kind, detail, source: None }
    }

    pub(super) fn because(kind: UpstreamErrorKind, detail: &'static str, source: impl Into<BoxError>) -> Self {
        Self { kind, detail, source: Some(source.into()) }
    }

    /// What failed.
    #[must_use]
    pub fn kind(&self) -> UpstreamErrorKind {
        self.kind
    }

    /// What the client is answered for; `None` if its own body failed, which the body's error tells more about.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        match self.kind {
            UpstreamErrorKind::Connect => Some(Reason::UpstreamConnect),
            UpstreamErrorKind::Protocol => Some(Reason::UpstreamProtocol),
            UpstreamErrorKind::Timeout => Some(Reason::UpstreamTimeout),
            UpstreamErrorKind::RequestBody => None,
        }
    }

    /// The error that the client's body ended in, if that is what failed.
    ///
    /// # Errors
    /// The error itself, if something else failed.
    pub fn into_request_body_error(self) -> Result<BoxError, Self> {
        match self {
            Self { kind: UpstreamErrorKind::RequestBody, source: Some(source), .. } => Ok(source),
            other => Err(other),
        }
    }
}

impl fmt::Display for UpstreamError {
    /// For the log: with the causes, none of which quotes what a client or a backend sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.detail)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for UpstreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
