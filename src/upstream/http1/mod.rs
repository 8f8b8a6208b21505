//! HTTP/1.1 to a backend (RFC 9112): one request at a time on a connection.
//!
//! Not hyper's client: that gives every connection a task of its own, so that a request is handed from task to task and back,
//! through three channels, where nothing has to be waited for but the backend. Here the task of the request writes and reads
//! itself. What is here is what a gateway needs of the protocol; what a response's framing may be is settled in
//! `framing`, beside it.
//!
//! `exchange` sends a request (`sending`) on a `connection` and reads the `head` of the response; `incoming` is its
//! body.

mod connection;
mod exchange;
pub mod head;
mod incoming;
mod sending;

pub(super) use self::connection::Connection;
pub(super) use self::exchange::{Answered, exchange};
pub(super) use self::incoming::Incoming;
