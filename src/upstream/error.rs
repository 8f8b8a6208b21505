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
    /// The backend takes no more requests for now. It has not looked at this one, and nothing is wrong with it.
    Busy,
    /// The backend took too long to answer, or to take the request's body.
    Timeout,
    /// The client's body ended in an error. The backend saw the request aborted; nothing is wrong with it.
    RequestBody,
}

impl UpstreamError {
    pub(super) fn new(kind: UpstreamErrorKind, detail: &'static str) -> Self {
        Self { kind, detail, source: None }
    }

    /// The same for another request.
    pub(super) fn copied(&self) -> Self {
        let source = self.source.as_ref().map(|source| chain(&**source).into());
        Self { kind: self.kind, detail: self.detail, source }
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
            UpstreamErrorKind::Connect | UpstreamErrorKind::Busy => Some(Reason::UpstreamConnect),
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
        match &self.source {
            Some(source) => write!(f, "{}: {}", self.detail, chain(&**source)),
            None => f.write_str(self.detail),
        }
    }
}

/// The text of an error and of its causes.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl Error for UpstreamError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|error| error as _)
    }
}
