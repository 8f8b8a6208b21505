//! Keys that a gateway fetches, as far as they are known without one: the last good ones in `state_dir`.

use std::sync::Arc;

use anyhow::{Context, anyhow};

use crate::clock;
use crate::config::{Config, KeySource};
use crate::core::keyset::Keyset;
use crate::core::snapshot::{IssuerId, Snapshot};
use crate::live::keys::{Origin, stored};

/// The configuration's snapshot, with those keys.
pub(super) fn snapshot(config: &Config) -> Snapshot {
    let mut snapshot = config.snapshot.clone();
    for (id, source) in (0..).map(IssuerId).zip(&config.key_sources) {
        if let (KeySource::Fetched(_), Ok(keys)) = (source, last_good(config, id)) {
            snapshot.issuers = snapshot.issuers.with_keys(id, Arc::new(keys));
        }
    }
    snapshot
}

/// Why nothing can be said of a token which none of the keys has signed that are known of this issuer.
pub(super) fn unknown(config: &Config, issuer: IssuerId) -> anyhow::Error {
    let why = match last_good(config, issuer) {
        Ok(_) => anyhow!("the last good keys in `state_dir` do not have it"),
        Err(error) => error,
    };
    let name = config.snapshot.issuers.get(issuer).map_or("", |issuer| &issuer.name);
    why.context(format!(
        "no decision could be made: the gateway fetches the keys of issuer {name}, and the token's is not known here"
    ))
}

fn last_good(config: &Config, id: IssuerId) -> anyhow::Result<Keyset> {
    let issuer = config.snapshot.issuers.get(id).context("there is no such issuer")?;
    let Some(KeySource::Fetched(fetch)) = config.key_sources.get(usize::from(id.0)) else {
        return Err(anyhow!("its keys are not fetched"));
    };
    let directory = config.state_dir.as_deref().context("there is no `state_dir` to find the last good ones in")?;
    let origin = Origin { name: &issuer.name, iss: &issuer.iss, fetch };
    let found = stored(directory, origin, clock::now()).context("the last good ones in `state_dir` cannot be used")?;
    Ok(found.context("there are none of it in `state_dir`")?.keys)
}
