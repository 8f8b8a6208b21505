//! Requests forwarded to backends that are sockets with a script.

mod balancing;
mod bodies;
mod connections;
mod harness;
mod responses;
mod retries;
mod upgrades;
