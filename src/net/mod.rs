//! Sockets and protocols: what turns bytes into requests and answers into bytes.

pub mod buffers;
mod date;
pub mod deadline;
pub mod drain;
pub mod ending;
pub mod fetch;
pub mod handshake;
pub mod head;
pub mod http1;
pub mod http2;
pub mod interim;
pub mod listen;
pub mod service;
pub mod stream;
pub mod stream_io;
pub mod tls;
pub mod tunnel;
pub mod upgrade;
pub mod websocket;
