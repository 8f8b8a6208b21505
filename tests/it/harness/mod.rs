//! What the black-box tests are made of: the built binary as a process, a client and a backend that work on raw bytes,
//! and nginx and curl for what a real backend and a real client do.
//!
//! Nothing here sleeps: whatever a test waits for is an event, and every wait ends after [`PATIENCE`] with a panic that
//! says what was there instead.

pub(crate) mod backend;
pub(crate) mod certificates;
pub(crate) mod client;
pub(crate) mod curl;
pub(crate) mod gateway;
pub(crate) mod h2_backend;
pub(crate) mod nginx;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod response;
pub(crate) mod sync;
pub(crate) mod tls;
pub(crate) mod tokens;
pub(crate) mod tunnel;
pub(crate) mod wire;

use std::time::Duration;

/// How long anything may take that should happen at once. Generous: a slow machine must not fail a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
