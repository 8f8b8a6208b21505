//! Black-box tests: one binary, so that the crate is linked once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed; clippy exempts test functions but not the helpers they call"
)]

mod allocations;
mod answers;
mod authority;
mod authority_tokens;
mod authz;
mod config;
mod deploy;
mod documents;
mod examples;
mod framing;
mod harness;
mod headers;
mod http2;
mod key_changes;
mod keys;
mod keysets;
mod layering;
mod parity;
mod paths;
mod principals;
mod proxying;
mod real;
mod registry;
mod reload;
mod routes;
mod secrets;
mod shadow;
mod store;
mod support;
mod tls;
mod token_properties;
mod tokens;
mod upgrades;
mod upstreams_h2;
