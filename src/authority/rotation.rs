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

/// How long the next key stays whatever its algorithm, if it has taken the place of another one already. Gateways of two minds,
/// as there are in a rolling change, would put their own in the place of each other's without end.
const DISPUTED_SECONDS: i64 = 24 * 3600;

/// How long verifiers may take a token after it has expired.
pub(super) const LEEWAY_SECONDS: i64 = 5 * 60;

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
    let mut kept: Vec<StoredKey> = keys.iter().filter(|key| !is_over(key, keys, rule, turn, now)).cloned().collect();
    let mut has_changed = kept.len() < keys.len();
    // The lifetime may be shorter when the key retires.
    let signs_longer = |key: &&mut StoredKey| key.phase != KeyPhase::Retired && key.token_seconds < rule.token_seconds;
    for key in kept.iter_mut().filter(signs_longer) {
        key.token_seconds = rule.token_seconds;
        has_changed = true;
    }
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
        next.push(StoredKey { token_seconds: rule.token_seconds, ..new.stored(phase, now) });
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

/// The next key, if it is of another algorithm than new keys are to be.
#[must_use]
pub fn foreign_next<'k>(keys: &'k [StoredKey], rule: &Rule) -> Option<&'k StoredKey> {
    find(keys, KeyPhase::Next).filter(|next| next.algorithm != rule.algorithm)
}

/// Whether nobody needs a key any more: all that it signed is expired, or it is of an algorithm that is not wanted and has
/// signed nothing.
fn is_over(key: &StoredKey, keys: &[StoredKey], rule: &Rule, turn: Turn, now: UnixSeconds) -> bool {
    match key.phase {
        KeyPhase::Retired => {
            let token_seconds = key.token_seconds.max(rule.token_seconds);
            now >= key.phase_since.plus(token_seconds).plus(LEEWAY_SECONDS)
        }
        // The one that takes over at once has to be published already, whatever its algorithm.
        KeyPhase::Next => turn == Turn::ByAge && key.algorithm != rule.algorithm && has_had_its_time(key, keys, now),
        KeyPhase::Current => false,
    }
}

/// Whether a next key that is not wanted has been there for long enough. Behind each current key one such key goes soon, so
/// that another algorithm comes in time; one that has come later may be what another gateway wants.
fn has_had_its_time(next: &StoredKey, keys: &[StoredKey], now: UnixSeconds) -> bool {
    let is_disputed = find(keys, KeyPhase::Current).is_some_and(|current| next.phase_since > current.phase_since);
    let seconds = if is_disputed { DISPUTED_SECONDS } else { AHEAD_SECONDS };
    now >= next.phase_since.plus(seconds)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * 3600;
    const RULE: Rule = Rule { algorithm: Algorithm::EdDsa, signs_seconds: 30 * DAY, token_seconds: 3600 };

    fn at(seconds: i64) -> UnixSeconds {
        UnixSeconds(1_790_000_000 + seconds)
    }

    /// What a tick leaves behind.
    fn tick(keys: &[StoredKey], rule: &Rule, turn: Turn, now: UnixSeconds) -> Vec<StoredKey> {
        next_keys(keys, (rule, turn), None, Vec::new(), now).unwrap().unwrap_or_else(|| keys.to_vec())
    }

    fn ids(keys: &[StoredKey], phase: KeyPhase) -> Vec<&str> {
        keys.iter().filter(|key| key.phase == phase).map(|key| &*key.key_id).collect()
    }

    #[test]
    fn a_key_is_next_then_current_then_retired_then_gone() {
        let first = tick(&[], &RULE, Turn::ByAge, at(0));
        let (a, b) = (ids(&first, KeyPhase::Current), ids(&first, KeyPhase::Next));
        assert_eq!((a.len(), b.len(), first.len()), (1, 1, 2));
        assert!(plan(&first, &RULE, Turn::ByAge, at(30 * DAY - 1)).is_none());

        let second = tick(&first, &RULE, Turn::ByAge, at(30 * DAY));
        assert_eq!((ids(&second, KeyPhase::Retired), ids(&second, KeyPhase::Current), second.len()), (a, b, 3));
        assert!(plan(&second, &RULE, Turn::ByAge, at(30 * DAY + 3600 + 299)).is_none());
        let third = tick(&second, &RULE, Turn::ByAge, at(30 * DAY + 3600 + 300));
        assert_eq!((ids(&third, KeyPhase::Retired).len(), third.len()), (0, 2));
    }

    #[test]
    fn a_key_signs_only_after_it_was_published_for_a_while() {
        let rule = Rule { signs_seconds: 60, ..RULE };
        let keys = tick(&[], &rule, Turn::ByAge, at(0));
        assert!(plan(&keys, &rule, Turn::ByAge, at(AHEAD_SECONDS - 1)).is_none());
        assert!(plan(&keys, &rule, Turn::ByAge, at(AHEAD_SECONDS)).is_some());
    }

    #[test]
    fn another_algorithm_comes_with_the_next_key() {
        let keys = tick(&[], &RULE, Turn::ByAge, at(0));
        let rule = Rule { algorithm: Algorithm::Es256, ..RULE };
        assert!(plan(&keys, &rule, Turn::ByAge, at(AHEAD_SECONDS - 1)).is_none());
        assert_eq!(foreign_next(&keys, &rule).map(|key| &*key.key_id), Some(ids(&keys, KeyPhase::Next)[0]));
        let changed = tick(&keys, &rule, Turn::ByAge, at(AHEAD_SECONDS));
        assert_eq!(ids(&changed, KeyPhase::Current), ids(&keys, KeyPhase::Current));
        let next = find(&changed, KeyPhase::Next).unwrap();
        assert_eq!((next.algorithm, next.phase_since, changed.len()), (Algorithm::Es256, at(AHEAD_SECONDS), 2));
        assert!(foreign_next(&changed, &rule).is_none());
        assert!(plan(&changed, &rule, Turn::ByAge, at(30 * DAY - 1)).is_none(), "that is the end of it");

        // Whoever changes it back gets it back, a day later.
        assert!(plan(&changed, &RULE, Turn::ByAge, at(AHEAD_SECONDS + DAY - 1)).is_none());
        let back = tick(&changed, &RULE, Turn::ByAge, at(AHEAD_SECONDS + DAY));
        assert_eq!(find(&back, KeyPhase::Next).unwrap().algorithm, Algorithm::EdDsa);

        // A command puts to use what is published, and makes the one behind it of the new kind.
        let turned = tick(&keys, &rule, Turn::Now, at(1));
        assert_eq!(ids(&turned, KeyPhase::Current), ids(&keys, KeyPhase::Next));
        assert_eq!(find(&turned, KeyPhase::Next).unwrap().algorithm, Algorithm::Es256);
    }

    #[test]
    fn a_command_puts_no_key_to_use_that_it_has_just_made() {
        let rule = Rule { algorithm: Algorithm::Es256, ..RULE };
        for seconds in [0, AHEAD_SECONDS, 2 * DAY] {
            let keys = tick(&[], &RULE, Turn::ByAge, at(0));
            let turned = tick(&keys, &rule, Turn::Now, at(seconds));
            assert_eq!(ids(&turned, KeyPhase::Current), ids(&keys, KeyPhase::Next), "{seconds}");
        }
    }

    #[test]
    fn gateways_of_two_minds_do_not_replace_keys_without_end() {
        let other = Rule { algorithm: Algorithm::Es256, ..RULE };
        let mut keys = Vec::new();
        let mut made = std::collections::HashSet::new();
        // As often as gateways look, for two days, and several times within a second.
        for step in 0..2 * DAY / 5 {
            let rule = if step % 2 == 0 { &RULE } else { &other };
            keys = tick(&keys, rule, Turn::ByAge, at(step / 4 * 20));
            made.extend(keys.iter().map(|key| key.key_id.clone()));
        }
        assert!((3..=5).contains(&made.len()), "{}", made.len());
    }

    #[test]
    fn commands_do_not_pile_up_keys_without_end() {
        let mut keys = tick(&[], &RULE, Turn::ByAge, at(0));
        while keys.len() < KEYS_MAX {
            keys = tick(&keys, &RULE, Turn::Now, at(1));
        }
        let error = next_keys(&keys, (&RULE, Turn::Now), None, Vec::new(), at(1)).err();
        assert_eq!(error, Some(RotationError::TooMany));
        assert_eq!(tick(&keys, &RULE, Turn::ByAge, at(2 * 3600)).len(), 2);
    }

    #[test]
    fn keys_are_sealed_as_soon_as_there_is_a_key_to_seal_them_under() {
        let encryption = KeyEncryptionKey(zeroize::Zeroizing::new([1; 32]));
        let keys = tick(&[], &RULE, Turn::ByAge, at(0));
        let seal = |keys: &[StoredKey], with: Option<&KeyEncryptionKey>| {
            next_keys(keys, (&RULE, Turn::ByAge), with, Vec::new(), at(1))
        };
        let sealed = seal(&keys, Some(&encryption)).unwrap().unwrap();
        assert!(sealed.iter().all(|key| key.is_sealed) && sealed.len() == 2);
        assert!(seal(&sealed, Some(&encryption)).unwrap().is_none());
        let other = KeyEncryptionKey(zeroize::Zeroizing::new([2; 32]));
        let wrong = seal(&sealed, Some(&other)).err().unwrap().to_string();
        assert!(wrong.contains("authority.key_encryption_file does not hold the key"), "{wrong}");
        assert!(seal(&sealed, None).err().unwrap().to_string().contains("is not configured"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However gateways of two minds take turns, and whatever their clocks differ by: keys turn when it is time, and for
        /// each that turns there are few that never sign.
        #[test]
        fn gateways_of_two_minds_turn_keys_all_the_same(
            turns in prop::collection::vec((0..600_i64, prop::bool::ANY), 200..400),
            behind in 0..AHEAD_SECONDS,
        ) {
            let rule = Rule { signs_seconds: 3600, token_seconds: 60, ..RULE };
            let other = Rule { algorithm: Algorithm::Es256, ..rule };
            let mut keys = tick(&[], &rule, Turn::ByAge, at(0));
            let mut made: std::collections::HashSet<_> = keys.iter().map(|key| key.key_id.clone()).collect();
            let (mut now, mut turned) = (0, 0);
            for (passed, is_other) in turns {
                now += passed;
                let (rule, now) = if is_other { (&other, now - behind) } else { (&rule, now) };
                let next = tick(&keys, rule, Turn::ByAge, at(now));
                turned += usize::from(ids(&next, KeyPhase::Current) != ids(&keys, KeyPhase::Current));
                made.extend(next.iter().map(|key| key.key_id.clone()));
                let since = find(&next, KeyPhase::Current).unwrap().phase_since;
                prop_assert!(at(now) < since.plus(3600 + 3 * AHEAD_SECONDS + 20 * 600), "keys turn no more");
                keys = next;
            }
            let days = usize::try_from(now / DAY).unwrap();
            prop_assert!(made.len() <= 2 + 2 * (turned + 1) + days, "{} for {turned}", made.len());
        }

        /// However time goes by and whatever is asked for, exactly one key signs and one is ready; by age alone no key signs
        /// before its time, and none goes while a token of its may be valid.
        #[test]
        fn there_is_always_a_key_and_none_goes_too_early(
            steps in prop::collection::vec((0..20 * DAY, prop::bool::weighted(0.2)), 1..20),
        ) {
            let mut now = 0;
            let mut keys = tick(&[], &RULE, Turn::ByAge, at(now));
            for (passed, by_command) in steps {
                now += passed;
                let turn = if by_command { Turn::Now } else { Turn::ByAge };
                let next = tick(&keys, &RULE, turn, at(now));
                prop_assert_eq!(ids(&next, KeyPhase::Current).len(), 1);
                prop_assert_eq!(ids(&next, KeyPhase::Next).len(), 1);
                for key in &keys {
                    let after = next.iter().find(|after| after.key_id == key.key_id);
                    match (key.phase, after) {
                        (KeyPhase::Retired, None) => prop_assert!(at(now) >= key.phase_since.plus(3900)),
                        (_, None) => prop_assert!(false, "a key in use went"),
                        (KeyPhase::Next, Some(after)) if after.phase == KeyPhase::Current => {
                            prop_assert!(by_command || at(now) >= key.phase_since.plus(AHEAD_SECONDS));
                        }
                        (phase, Some(after)) => prop_assert!(after.phase == phase || after.phase == KeyPhase::Retired),
                    }
                }
                keys = next;
            }
        }
    }
}
