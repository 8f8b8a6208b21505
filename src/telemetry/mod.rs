//! What operators see: metrics, the access log, and the program's own log. Nothing here ever holds a token, a secret or
//! a query string.

pub mod access_log;
pub mod log;
pub mod metrics;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// For reading.
    Text,
}
