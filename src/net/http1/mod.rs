//! The HTTP/1.1 server (RFC 9112): strict about framing, because what two parties read differently is how requests are
//! smuggled.
//!
//! It is our own and not hyper's for what the gateway promises: hyper drops a second `Content-Length`, or one beside a
//! `Transfer-Encoding`, before anybody could refuse the request for it; it answers malformed heads itself, without
//! request id, log line or metric; and it cannot send `103 Early Hints`. What is here is what a gateway needs of the
//! protocol, and no more: no obsolete line folding and no bare line feeds by intent, and no upgrades as yet.
//!
//! [`head`], [`framing`] and [`chunked`] are pure and are fuzzed; [`connection`] moves the bytes.

pub mod body;
pub mod chunked;
pub mod connection;
mod date;
pub mod encode;
pub mod framing;
pub mod head;
mod interim;
mod send;
#[cfg(test)]
mod tests;
mod transport;

use std::time::Duration;

use bytes::Bytes;

pub use self::body::{BodyError, RequestBody};
pub use self::connection::{refuse, serve};
pub use self::head::{Head, HeadError};
pub use self::interim::Interim;

/// A request as it comes off a connection.
pub struct Request {
    /// Request line and header fields.
    pub head: Head,
    /// The body, to be read while it arrives.
    pub body: RequestBody,
    /// Where informational answers (1xx) to this request may be left.
    pub interim: Interim,
}

/// What answers the requests of a connection.
pub trait Service {
    /// The body of answers.
    type Body: http_body::Body<Data = Bytes> + Unpin;

    /// Answers one request.
    fn call(&self, request: Request) -> impl Future<Output = http::Response<Self::Body>>;

    /// Answers what is no request, before the connection is closed. There is a head if it could be read, and it is only
    /// what it says together that cannot be.
    fn refuse(&self, refusal: Refusal, head: Option<&Head>) -> http::Response<Self::Body>;
}

/// Why a connection gets an answer although no request could be read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The head is not well formed.
    Head(HeadError),
    /// There are more connections than the gateway takes on.
    TooManyConnections,
}

/// Bounds of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest request head in bytes.
    pub header_bytes: usize,
    /// Longest time for a request head to arrive, from its first byte (for the first request: from the connection).
    pub request_head: Duration,
    /// Longest silence: between requests, while a body arrives, and while an answer is not read.
    pub idle: Duration,
}
