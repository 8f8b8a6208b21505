//! The program's own log: to standard error, so that standard output is left to the access log.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::Format;

/// The environment variable that chooses what is logged, as `info`, `debug` or `sidegate::upstream=debug,info`.
pub const FILTER_VARIABLE: &str = "SIDEGATE_LOG";

const DEFAULT_FILTER: &str = "info";

/// Why the log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter cannot be read.
    #[error("{FILTER_VARIABLE} is no log filter: {0}")]
    Filter(#[from] ParseError),
    /// There is one already.
    #[error("the log was started twice")]
    Twice(#[from] TryInitError),
}

/// Starts the log of this process. `filter` is the value of [`FILTER_VARIABLE`], if it is set.
///
/// # Errors
/// For a filter that cannot be read, and for a second start.
pub fn init(format: Format, filter: Option<&str>) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(filter.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_FILTER))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    let started = match format {
        Format::Json => SubscriberInitExt::try_init(
            builder.json().flatten_event(true).with_current_span(false).with_span_list(false).finish(),
        ),
        Format::Text => SubscriberInitExt::try_init(builder.with_ansi(stderr().is_terminal()).finish()),
    };
    Ok(started?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_an_error() {
        let error = init(Format::Json, Some("sidegate=loud")).unwrap_err();
        assert!(error.to_string().starts_with("SIDEGATE_LOG is no log filter: "), "{error}");
    }
}
