//! `sidegate run`: the gateway.

use std::process::ExitCode;

use super::ConfigFile;
use crate::app;
use crate::telemetry::log;

/// Run the gateway until it is told to end (SIGTERM or SIGINT; a second signal ends it at once)
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sidegate run -c config.yaml")]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

/// Runs the gateway.
///
/// # Errors
/// Whatever keeps it from starting.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let filter = std::env::var(log::FILTER_VARIABLE).ok();
    log::init(config.telemetry.log_format, filter.as_deref())?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    app::run(args.config.path().to_owned(), config)
}
