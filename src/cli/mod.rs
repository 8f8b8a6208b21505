//! The command line: one file per command.
//!
//! Exit codes: 0 for success, 1 for failure, 2 for a command line that cannot be understood.

mod check;
mod client;
mod completions;
mod explain;
mod health;
mod keys;
mod output;
mod run;
mod storage;
mod token;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Diagnostics};

/// Sidegate: a gateway that enforces tokens.
#[derive(Debug, Parser)]
#[command(name = "sidegate", version, max_term_width = 120, after_help = "Example:\n  sidegate check -c config.yaml")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do. A command is a variant here and a line in [`Command::run`].
#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Check(check::Args),
    Explain(explain::Args),
    Health(health::Args),
    Client(client::Args),
    Keys(keys::Args),
    Token(token::Args),
    Completions(completions::Args),
}

impl Command {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Run(args) => run::run(&args),
            Self::Check(args) => check::run(args),
            Self::Explain(args) => explain::run(args),
            Self::Health(args) => health::run(args),
            Self::Client(args) => client::run(args),
            Self::Keys(args) => keys::run(args),
            Self::Token(args) => token::run(&args),
            Self::Completions(args) => completions::run(args),
        }
    }
}

/// The option that names the configuration file; commands that need one flatten it into their arguments.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(id = "config", short = 'c', long = "config", env = "SIDEGATE_CONFIG", value_name = "FILE")]
    path: PathBuf,
}

impl ConfigFile {
    /// The configuration, checked.
    pub(crate) fn load(&self) -> Result<Config, Diagnostics> {
        config::load(&self.path, &|name| std::env::var_os(name))
    }

    /// Its path, as it was given.
    pub(crate) fn path(&self) -> &std::path::Path {
        &self.path
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn main() -> ExitCode {
    match Cli::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            output::report(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn check_examples(name: &str, command: &clap::Command) {
        for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
            let name = format!("{name} {}", command.get_name());
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&name), "{name}");
            check_examples(&name, command);
        }
    }

    #[test]
    fn the_command_line_is_consistent_and_every_command_has_an_example() {
        let mut cli = Cli::command();
        cli.build();
        cli.clone().debug_assert();
        check_examples("sidegate", &cli);
    }
}
