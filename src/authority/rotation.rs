//! Which signing keys there are to be: made, put to use, retired and dropped. Pure, but for the making.
//!
//! A key is published before it signs and after it has signed its last token: whoever verifies tokens never meets one that
//! is not there. The processes of a fleet share the keys; whichever comes first makes the change, within one transaction.

use std::time::Duration;

use super::seal;
use super::signer::{KeyError, NewKey};
use super::store::{KeyPhase, StoredKey};
use crate::config::authority::{Authority, KeyEncryptionKey};
use crate::core::algorithm::Algorithm;
use crate::core::time::UnixSeconds;

/// How long a key is published before it signs: twice as long as verifiers keep a key set, at most.
const AHEAD_SECONDS: i64 = 2 * 10 * 60;

/// How long verifiers may take a token after it has expired.
const LEEWAY_SECONDS: i64 = 5 * 60;

/// Most keys at a time. Only a command that is given again and again makes so many.
const KEYS_MAX: usize = 32;

/// What the configuration says of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// What new keys sign with.
    pub algorithm: Algorithm,
    /// How long a key signs.
    pub signs_seconds: i64,
    /// How long a token is valid.
    pub token_seconds: i64,
}

/// When the next key takes the place of the current one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// When the current one has signed for long enough, and the next one was published for long enough.
    ByAge,
    /// Now: somebody has asked for it. That is safe for gateways that share the storage, which has told them of the next key
    /// long ago; other verifiers have it already, or fetch keys when they meet one that they do not know.
    Now,
}

/// What becomes of the keys.
#[derive(Debug)]
pub struct Plan {
    /// Those that stay, in their phases.
    pub keys: Vec<StoredKey>,
    /// The phases for which there is no key.
    pub missing: Vec<KeyPhase>,
}

/// Why keys are not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RotationError {
    /// There is no key to sign with.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The keys of before still vouch for valid tokens.
    #[error(
        "{KEYS_MAX} signing keys are published already; retired ones go when the tokens that they have signed are expired"
    )]
    TooMany,
}

impl Rule {
    /// What this configuration says.
    #[must_use]
    pub fn of(settings: &Authority) -> Self {
        Self {
            algorithm: settings.algorithm,
            signs_seconds: seconds(settings.rotate_keys),
            token_seconds: seconds(settings.token_lifetime),
        }
    }
}

/// What becomes of these keys; `None` if they stay as they are.
#[must_use]
pub fn plan(keys: &[StoredKey], rule: &Rule, turn: Turn, now: UnixSeconds) -> Option<Plan> {
    let mut kept: Vec<StoredKey> = keys.iter().filter(|key| !is_over(key, rule, turn, now)).cloned().collect();
    let mut has_changed = kept.len() < keys.len();
    if is_due(&kept, rule, turn, now) {
        has_changed = true;
        enter(&mut kept, KeyPhase::Current, KeyPhase::Retired, now);
        enter(&mut kept, KeyPhase::Next, KeyPhase::Current, now);
    }
    let missing = [KeyPhase::Current, KeyPhase::Next].into_iter().filter(|phase| find(&kept, *phase).is_none());
    let missing: Vec<_> = missing.collect();
    (has_changed || !missing.is_empty()).then_some(Plan { keys: kept, missing })
}

/// The keys there are to be after these, sealed if there is a key to seal them under; `None` if they stay as they are. Keys
/// that have to be made are taken from `spare` as long as it has some.
///
/// # Errors
/// A key cannot be opened, or none can be made.
pub fn next_keys(
    keys: &[StoredKey],
    (rule, turn): (&Rule, Turn),
    encryption: Option<&KeyEncryptionKey>,
    mut spare: Vec<NewKey>,
    now: UnixSeconds,
) -> Result<Option<Vec<StoredKey>>, RotationError> {
    // Before anything else: a process with another key file must not add keys that the rest cannot open.
    keys.iter().try_for_each(|key| seal::open(key, encryption).map(drop))?;
    if turn == Turn::Now && keys.len() >= KEYS_MAX {
        return Err(RotationError::TooMany);
    }
    let plan = plan(keys, rule, turn, now);
    let is_sealing = encryption.is_some() && keys.iter().any(|key| !key.is_sealed);
    if plan.is_none() && !is_sealing {
        return Ok(None);
    }
    let Plan { keys: mut next, missing } = plan.unwrap_or_else(|| Plan { keys: keys.to_vec(), missing: Vec::new() });
    for phase in missing {
        let new = spare.pop().map_or_else(|| NewKey::generate(rule.algorithm), Ok)?;
        next.push(new.stored(phase, now));
    }
    if let Some(encryption) = encryption {
        next.iter_mut().try_for_each(|key| seal::seal(key, encryption))?;
    }
    Ok(Some(next))
}

/// The key in this phase.
#[must_use]
pub fn find(keys: &[StoredKey], phase: KeyPhase) -> Option<&StoredKey> {
    keys.iter().find(|key| key.phase == phase)
}

/// Whether nobody needs a key any more: all that it signed is expired, or it is of an algorithm that is not wanted and has
/// signed nothing.
fn is_over(key: &StoredKey, rule: &Rule, turn: Turn, now: UnixSeconds) -> bool {
    match key.phase {
        KeyPhase::Retired => now >= key.phase_since.plus(rule.token_seconds).plus(LEEWAY_SECONDS),
        // The one that takes over at once has to be published already, whatever its algorithm.
        KeyPhase::Next => turn == Turn::ByAge && key.algorithm != rule.algorithm,
        KeyPhase::Current => false,
    }
}

fn is_due(keys: &[StoredKey], rule: &Rule, turn: Turn, now: UnixSeconds) -> bool {
    let Some(next) = find(keys, KeyPhase::Next) else { return false };
    let Some(current) = find(keys, KeyPhase::Current) else { return true };
    let is_old = now >= current.phase_since.plus(rule.signs_seconds);
    let is_known = now >= next.phase_since.plus(AHEAD_SECONDS);
    turn == Turn::Now || (is_old && is_known)
}

fn enter(keys: &mut [StoredKey], from: KeyPhase, to: KeyPhase, now: UnixSeconds) {
    for key in keys.iter_mut().filter(|key| key.phase == from) {
        (key.phase, key.phase_since) = (to, now);
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
