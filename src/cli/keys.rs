//! `sidegate keys`: the authority's signing keys.

use std::process::ExitCode;

use anyhow::ensure;

use super::ConfigFile;
use super::output::{self, table};
use super::storage::{self, Open};
use crate::authority::rotate_now;
use crate::authority::store::{KeyPhase, StoredKey};
use crate::authority::view::rfc3339;
use crate::clock;

/// List and rotate the authority's signing keys
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sidegate keys list -c config.yaml")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the keys that are published
    #[command(after_help = "Example:\n  sidegate keys list -c config.yaml")]
    List(ConfigFile),
    /// Sign with the next key from now on
    #[command(after_help = "Example:\n  sidegate keys rotate -c config.yaml")]
    Rotate(ConfigFile),
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let keys = match args.command {
        Command::List(file) => storage::with(&file, async |open: &Open| Ok(open.manager.store.keys().await?)),
        Command::Rotate(file) => storage::with(&file, async |open: &Open| {
            // The first start makes them, and knows by them that it is the first.
            ensure!(
                !open.manager.store.keys().await?.is_empty(),
                "there are no keys as yet: no gateway was started here"
            );
            Ok(rotate_now(&open.manager.store, &open.caller.who, &open.authority, clock::now()).await?)
        }),
    };
    output::print(&key_table(keys?))?;
    Ok(ExitCode::SUCCESS)
}

fn key_table(mut keys: Vec<StoredKey>) -> String {
    keys.sort_by_key(|key| (key.phase, key.created_at));
    let rows = keys.iter().map(|key| {
        [
            key.key_id.to_string(),
            key.algorithm.name().to_owned(),
            phase(key.phase).to_owned(),
            rfc3339(key.created_at),
            rfc3339(key.phase_since),
        ]
    });
    table(["KID", "ALGORITHM", "PHASE", "CREATED", "SINCE"], rows)
}

fn phase(phase: KeyPhase) -> &'static str {
    match phase {
        KeyPhase::Next => "next",
        KeyPhase::Current => "current",
        KeyPhase::Retired => "retired",
    }
}
