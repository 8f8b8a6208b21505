//! The HTTP/2 server (RFC 9113). Frames, header compression and flow control are the crate `h2`'s; what a request is, what
//! is refused with an answer, and how long and how much of anything is put up with, is decided here.
//!
//! It is not hyper's server around the same crate for what the gateway promises: hyper sends no informational answers
//! and offers no say in how a malformed request is answered.
//!
//! A connection is one task (`connection`), each of its streams another (`exchange`). `head` makes of a stream's
//! fields what HTTP/1.1 makes of a request line and fields. `wire` stands between `h2` and the socket: it sees the heads
//! of frames pass and counts what is cheap to send and costs a server much (`watch`). Before it `corked` gathers what is written.

pub(super) mod body;
mod clock;
mod connection;
mod corked;
mod exchange;
mod frames;
mod head;
mod send;
mod settings;
#[cfg(test)]
mod tests;
mod watch;
mod wire;

pub use self::connection::{refuse, serve};
