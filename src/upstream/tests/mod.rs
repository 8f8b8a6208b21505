//! Requests forwarded to backends that are sockets with a script.

mod balancing;
mod bodies;
mod connections;
mod h2_backend;
mod harness;
mod http2;
mod responses;
mod retries;
mod tls;
mod upgrades;
