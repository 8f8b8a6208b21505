//! The head of a request, whatever version of HTTP it came by: HTTP/1.1 and HTTP/2 make the same value of it, so that
//! nothing behind can treat one less strictly than the other.

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderMap, HeaderValue, Method, Version};

/// Request line and header fields. Has no `Debug`: the fields hold the token, and the target the query.
#[derive(Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The version: 1.0, 1.1 or 2.
    pub version: Version,
    /// The fields. Of HTTP/2 the authority is among them, as `Host`.
    pub headers: HeaderMap,
    /// What the client wants the connection (HTTP/1.1, RFC 9110 section 7.8) or the stream (HTTP/2, RFC 8441) to become,
    /// if anything: the protocol's name, such as `websocket`. The method is then what it is in HTTP/1.1, for HTTP/2 too.
    pub upgrade: Option<HeaderValue>,
    target: Bytes,
}

/// Why a head is refused. The texts are for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not the syntax of RFC 9112.
    #[error("{0}")]
    Malformed(&'static str),
    /// Longer than allowed, in bytes or in fields.
    #[error("the request head is longer than limits.header_bytes, or has too many fields")]
    TooLarge,
}

impl Head {
    /// A head without upgrade.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for a target that is not UTF-8.
    pub fn new(method: Method, target: Bytes, version: Version, headers: HeaderMap) -> Result<Self, HeadError> {
        match std::str::from_utf8(&target) {
            Ok(_) => Ok(Self { method, version, headers, upgrade: None, target }),
            Err(_) => Err(HeadError::Malformed("the request target is not UTF-8")),
        }
    }

    /// The request target, byte for byte.
    #[must_use]
    pub fn target(&self) -> &str {
        // Checked in `new`; an empty target is refused everywhere.
        std::str::from_utf8(&self.target).unwrap_or_default()
    }

    /// Whether there is as much `Host` as there has to be (RFC 9112 section 3.2), whatever the target is and whatever two
    /// of them say.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for none in HTTP/1.1 and for more than one.
    pub fn check_host(&self) -> Result<(), HeadError> {
        match self.headers.get_all(http::header::HOST).iter().count() {
            0 if self.version == Version::HTTP_11 => Err(HeadError::Malformed("an HTTP/1.1 request without Host")),
            0 | 1 => Ok(()),
            _ => Err(HeadError::Malformed("more than one Host")),
        }
    }

    /// Whether the client waits for `100 Continue`. There is no other expectation that could be met (RFC 9110 section
    /// 10.1.1), and none that HTTP/1.0 could have.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for any other expectation.
    pub fn expects_continue(&self) -> Result<bool, HeadError> {
        let mut expectations =
            self.headers.get_all(EXPECT).iter().filter(|_| self.version >= Version::HTTP_11).peekable();
        let any = expectations.peek().is_some();
        if expectations.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
            return Ok(any);
        }
        Err(HeadError::Malformed("an expectation other than 100-continue"))
    }

    /// The request target's bytes, shared.
    #[must_use]
    pub fn target_bytes(&self) -> &Bytes {
        &self.target
    }
}
