//! The HTTP/1.1 server (RFC 9112): strict about framing, because what two parties read differently is how requests are
//! smuggled.
//!
//! It is our own and not hyper's for what the gateway promises: hyper drops a second `Content-Length`, or one beside a
//! `Transfer-Encoding`, before anybody could refuse the request for it; it answers malformed heads itself, without
//! request id, log line or metric; and it cannot send `103 Early Hints`. What is here is what a gateway needs of the
//! protocol, and no more: no obsolete line folding, and in requests no bare line feeds, by intent.
//!
//! `scan`, [`head`], [`framing`] and [`chunked`] are pure and are fuzzed; [`connection`] moves the bytes.

pub(super) mod body;
pub mod chunked;
pub mod connection;
pub mod encode;
pub mod framing;
pub mod head;
mod scan;
mod send;
#[cfg(test)]
mod tests;
mod transport;
mod tunnel;

pub use self::connection::{refuse, serve};
