//! Sidegate: a gateway that enforces tokens.
//!
//! The path of a request: [`net::http1`] reads a head, [`fronts::proxy`] turns it into a [`core::head::RequestHead`],
//! [`core::decide`] answers with a permit or a rejection, [`upstream`] takes the permit, [`fronts::render`] writes the
//! rejection. `ARCHITECTURE.md` tells the rest.

pub mod admin;
pub mod app;
pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
pub mod core;
pub mod fronts;
pub mod live;
pub mod net;
pub mod telemetry;
pub mod upstream;
pub mod worker;
