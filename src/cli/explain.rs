//! `sidegate explain`: the decision about one request, step by step, offline, from the code that the gateway runs.

mod asked;
mod authority;
mod backend;
mod keys;
mod print;
mod report;
mod steps;
#[cfg(test)]
mod tests;
mod token;
mod told;

use std::path::PathBuf;
use std::process::ExitCode;

use http::Method;
use jiff::Timestamp;

use self::asked::Asked;
use self::report::Report;
use super::{ConfigFile, output};
use crate::clock;
use crate::config::Config;
use crate::core::snapshot::Snapshot;
use crate::core::time::UnixSeconds;
use crate::core::{self, Facts, KeysAsked, Need, NoMemo};

const EXAMPLE: &str = "\
Example:
  sidegate explain -c config.yaml GET /v1/users --token-file token.txt

The token can also come by standard input (a single -) or in -H 'Authorization: Bearer …'.
Keys that the gateway fetches are taken from state_dir, keys and clients of its own authority from the authority's storage.
Exit code: 0 allowed, 1 denied, 2 no decision could be made.";

/// Exit code for a request that could not be decided about.
const UNDECIDED: u8 = 2;

/// Explain the decision about a request, step by step, without sending it
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
    /// The method
    method: Method,
    /// The path, with or without query, or the whole URL
    #[arg(value_name = "PATH")]
    target: String,
    /// A single - reads the token from standard input
    #[arg(value_name = "-", value_parser = ["-"], hide_possible_values = true, conflicts_with_all = ["token", "token_file"])]
    stdin: Option<String>,
    #[command(flatten)]
    token: TokenArgs,
    /// A header field of the request; can be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    headers: Vec<String>,
    /// Decide as of this time (RFC 3339) instead of now
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// How the explanation looks
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(clap::Args)]
struct TokenArgs {
    /// The bearer token; other users of this machine may see it in the list of processes
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// The file that holds the bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Not the token.
impl std::fmt::Debug for TokenArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenArgs").field("token_file", &self.token_file).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum Output {
    /// For reading
    #[default]
    Text,
    /// One JSON object
    Json,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    // A command that failed exits with 1, which would mean `denied` here.
    explained(&args).or_else(|error| {
        output::report(&error);
        Ok(ExitCode::from(UNDECIDED))
    })
}

fn explained(args: &Args) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let asked = Asked::read(args)?;
    let now = args.at.map_or_else(clock::now, |at| UnixSeconds(at.as_second()));
    let (snapshot, unread) = snapshot(&config, &asked);
    let report = explain(&snapshot, &asked, now).map_err(|Need::Keys(id)| keys::unknown(&config, id))?;
    if let (Some(error), true) = (unread, report.is_about_what_is_not_there()) {
        return Err(error.context("no decision could be made about a token of our own authority"));
    }
    output::print(&match args.output {
        Output::Text => print::text(&report),
        Output::Json => print::json(&report)?,
    })?;
    Ok(if report.is_allowed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The snapshot, completed with all that is known without a running gateway, and why it is not if the authority's storage
/// cannot be read.
fn snapshot(config: &Config, asked: &Asked) -> (Snapshot, Option<anyhow::Error>) {
    let snapshot = keys::snapshot(config);
    let Some(authority) = config.authority.as_deref().filter(|_| asked.has_token()) else { return (snapshot, None) };
    match authority::complete(config, authority, &snapshot) {
        Ok(snapshot) => (snapshot, None),
        Err(error) => (snapshot, Some(error)),
    }
}

/// The explanation of the decision, or what it needs that only a running gateway finds out.
fn explain(snapshot: &Snapshot, asked: &Asked, now: UnixSeconds) -> Result<Report, Need> {
    let head = asked.head();
    let decision = core::decide(snapshot, &head, &Facts { memo: &NoMemo, keys: KeysAsked::NotYet }, now)?;
    match decision.trace.key_missing {
        // Shadow mode lets it through. What would have become of it is what is asked here, and nobody knows.
        Some(issuer) => Err(Need::Keys(issuer)),
        None => Ok(Report::new(snapshot, &head, decision)),
    }
}
