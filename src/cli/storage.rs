//! The authority's storage, for commands that read and change it beside a running gateway, which notices.

use std::env;
use std::path::Path;
use std::sync::Arc;

use anyhow::{anyhow, bail};

use super::ConfigFile;
use crate::authority::caller::Caller;
use crate::authority::manage::Manager;
use crate::authority::rules::Rules;
use crate::authority::store::{Actor, Store};
use crate::config::authority::Storage;
use crate::config::{Authority, Config};

/// Longest name of a user that goes into the audit log, in bytes.
const USER_BYTES_MAX: usize = 64;

/// What commands about the authority work with.
pub(super) struct Open {
    pub(super) config: Config,
    pub(super) authority: Arc<Authority>,
    pub(super) manager: Manager,
    pub(super) caller: Caller,
}

/// Runs `command` with the storage of the authority that the configuration has.
pub(super) fn with<T>(file: &ConfigFile, command: impl AsyncFnOnce(&Open) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let (config, authority) = load(file)?;
    if let Some(path) = missing(&authority.storage) {
        bail!("there is no storage {}: no gateway was started here, and no client was made", path.display());
    }
    run(config, authority, command)
}

/// The file of a storage that is not there. To open it would make it: a wrong path would be a storage without clients, in which
/// others are refused for nobody. One that cannot be looked at may be there, and to open it tells why not.
pub(super) fn missing(storage: &Storage) -> Option<&Path> {
    match storage {
        Storage::Sqlite(path) => Some(path.as_path()).filter(|path| !path.try_exists().unwrap_or(true)),
        Storage::Postgres(_) => None,
    }
}

/// The same, with storage that is made if it is not there.
pub(super) fn with_new<T>(
    file: &ConfigFile,
    command: impl AsyncFnOnce(&Open) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let (config, authority) = load(file)?;
    run(config, authority, command)
}

fn load(file: &ConfigFile) -> anyhow::Result<(Config, Arc<Authority>)> {
    let config = file.load()?;
    let authority = config.authority.clone();
    let authority = authority.ok_or_else(|| anyhow!("{} has no section `authority`", file.path().display()))?;
    Ok((config, authority))
}

fn run<T>(
    config: Config,
    authority: Arc<Authority>,
    command: impl AsyncFnOnce(&Open) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(&authority.storage).await?;
        let rules = Rules { authority: authority.clone(), roles: config.snapshot.roles.clone() };
        let open = Open { config, authority, manager: Manager { store, rules }, caller: Caller::unlimited(actor()) };
        command(&open).await
    })
}

/// Who is at the terminal, as the environment has it: a note for honest people, and no proof.
fn actor() -> Actor {
    let user = env::var("USER").unwrap_or_default();
    let is_name = !user.is_empty() && user.len() <= USER_BYTES_MAX && !user.contains(char::is_control);
    let user = if is_name { user } else { format!("uid-{}", rustix::process::getuid().as_raw()) };
    Actor(format!("cli:{user}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_there_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("sidegate.db");
        std::fs::write(&file, "").unwrap();
        let is_missing = |path: &Path| missing(&Storage::Sqlite(path.to_owned())).is_some();
        assert!(is_missing(&directory.path().join("other.db")));
        assert!(!is_missing(&file));
        assert!(!is_missing(&file.join("below-a-file.db")), "it cannot be looked at, and whoever opens it is told so");
    }
}
