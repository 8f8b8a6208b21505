//! Sockets and protocols: what turns bytes into requests and answers into bytes.

pub mod drain;
pub mod http1;
pub mod listen;
