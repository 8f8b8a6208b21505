//! Black-box tests: one binary, so that the crate is linked once.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and helpers of tests are not seen as tests"
)]

mod paths;
mod routes;
mod support {
    pub(crate) mod model;
    pub(crate) mod readings;
    pub(crate) mod routes;
}
