//! What one source says of clients and tokens, mirrored in memory: the latest state of each thing that ever changed.
//!
//! All maps are persistent, so that a mirror is cloned at once and a change costs what has changed, however many clients
//! there are.

use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, OrdMap, OrdSet};
use rustc_hash::FxBuildHasher;

use crate::core::registry::{Availability, Change, NameMap, NameSet, Registered, Registry};
use crate::core::time::UnixSeconds;

/// How long a revoked token is remembered after its `exp`, in seconds: longer than any sensible leeway, for until then it is
/// accepted.
const KEPT_SECONDS: i64 = 3600;

/// Everything that one source has told. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    /// Changes up to here are in it.
    number: u64,
    is_complete: bool,
    clients: NameMap<Arc<Registered>>,
    /// By `iss`: the clients of other issuers that are refused.
    foreign: NameMap<NameSet>,
    /// `jti` of tokens that were revoked one by one.
    tokens: NameSet,
    token_expiries: OrdSet<(UnixSeconds, Box<str>)>,
    /// The latest state of each thing, by the number of its last change.
    by_change: OrdMap<u64, Change>,
    /// The number of each thing's last change. What was deleted stays, so that nothing older brings it back.
    numbers: GenericHashMap<Thing, u64, FxBuildHasher, DefaultSharedPtr>,
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Thing {
    Client(Box<str>),
    /// `iss` and id.
    Foreign(Box<str>, Box<str>),
    Token(Box<str>),
}

impl Thing {
    fn of(change: &Change) -> Self {
        match change {
            Change::Client { id, now: _ } | Change::Deleted { id } => Self::Client(id.clone()),
            Change::Foreign { iss, id, is_refused: _ } => Self::Foreign(iss.clone(), id.clone()),
            Change::Token { jti, expires: _ } => Self::Token(jti.clone()),
        }
    }
}

impl Mirror {
    /// Takes in the state of a thing as the change of this number made it. What is known already, or is older than what is
    /// known of that thing, changes nothing.
    pub fn apply(&mut self, number: u64, change: Change) {
        self.advance(number);
        let thing = Thing::of(&change);
        let before = self.numbers.get(&thing).copied();
        if before.is_some_and(|before| before >= number) {
            return;
        }
        if let Some(Change::Token { jti, expires }) = before.and_then(|before| self.by_change.remove(&before)) {
            self.token_expiries.remove(&(expires, jti));
        }
        match &change {
            Change::Client { id, now } => drop(self.clients.insert(id.clone(), Arc::clone(now))),
            Change::Deleted { id } => drop(self.clients.remove(id)),
            Change::Foreign { iss, id, is_refused } => self.refuse(iss, id, *is_refused),
            Change::Token { jti, expires } => {
                self.tokens.insert(jti.clone());
                self.token_expiries.insert((*expires, jti.clone()));
            }
        }
        self.numbers.insert(thing, number);
        self.by_change.insert(number, change);
    }

    /// Notes that the changes up to this number are in it, though they may have been about other things.
    pub fn advance(&mut self, number: u64) {
        self.number = self.number.max(number);
    }

    /// Notes that all there was when the source was first asked is in it.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    /// Forgets revoked tokens that nobody accepts any more for their age.
    pub fn forget_expired(&mut self, now: UnixSeconds) {
        while let Some((expires, jti)) = self.token_expiries.get_min().cloned() {
            if now < expires.plus(KEPT_SECONDS) {
                return;
            }
            self.tokens.remove(&jti);
            self.token_expiries.remove(&(expires, jti.clone()));
            if let Some(number) = self.numbers.remove(&Thing::Token(jti)) {
                self.by_change.remove(&number);
            }
        }
    }

    /// How many clients there are.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Number of the last change that is in it.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether everything is in it. Before that it says nothing of clients that it does not know.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The client of this id.
    #[must_use]
    pub fn client(&self, id: &str) -> Option<&Arc<Registered>> {
        self.clients.get(id)
    }

    /// What has changed after the change of this number, in order: of each thing its latest state, deletions included.
    pub fn after(&self, number: u64) -> impl Iterator<Item = (u64, &Change)> {
        let first = number.checked_add(1);
        let changes = first.into_iter().flat_map(|first| self.by_change.range(first..));
        changes.map(|(number, change)| (*number, change))
    }

    /// What decisions are made from. Nobody can rely on a mirror that is not complete.
    #[must_use]
    pub fn registry(&self, availability: Availability) -> Registry {
        let availability = if self.is_complete { availability } else { Availability::Lost };
        Registry { clients: self.clients.clone(), revoked_tokens: self.tokens.clone(), availability }
    }

    /// The clients of another issuer, told by its `iss`, that are refused.
    #[must_use]
    pub fn refused(&self, iss: &str) -> Option<&NameSet> {
        self.foreign.get(iss)
    }

    fn refuse(&mut self, iss: &str, id: &str, is_refused: bool) {
        let mut of_issuer = self.foreign.get(iss).cloned().unwrap_or_default();
        if is_refused {
            of_issuer.insert(id.into());
        } else {
            of_issuer.remove(id);
        }
        match of_issuer.is_empty() {
            true => drop(self.foreign.remove(iss)),
            false => drop(self.foreign.insert(iss.into(), of_issuer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn client(version: u64) -> Arc<Registered> {
        Arc::new(Registered {
            version,
            generation: version,
            is_revoked: false,
            expires: NOW,
            scopes: Box::default(),
            roles: Box::default(),
            tenants: Box::default(),
        })
    }

    fn present(id: &str, version: u64) -> Change {
        Change::Client { id: id.into(), now: client(version) }
    }

    fn token(jti: &str, expires: i64) -> Change {
        Change::Token { jti: jti.into(), expires: UnixSeconds(NOW.0 + expires) }
    }

    fn foreign(id: &str, is_refused: bool) -> Change {
        Change::Foreign { iss: "https://other.test".into(), id: id.into(), is_refused }
    }

    fn mirror(changes: &[(u64, Change)]) -> Mirror {
        let mut mirror = Mirror::default();
        changes.iter().for_each(|(number, change)| mirror.apply(*number, change.clone()));
        mirror
    }

    fn told(mirror: &Mirror, after: u64) -> Vec<(u64, Change)> {
        mirror.after(after).map(|(number, change)| (number, change.clone())).collect()
    }

    #[test]
    fn each_thing_is_told_once_as_it_is_last() {
        let deleted = || Change::Deleted { id: "b".into() };
        let mirror = mirror(&[(1, present("a", 1)), (2, present("b", 2)), (4, present("a", 4)), (5, deleted())]);
        assert_eq!(told(&mirror, 0), [(4, present("a", 4)), (5, deleted())]);
        assert_eq!(told(&mirror, 4), [(5, deleted())]);
        assert_eq!(told(&mirror, 5), []);
        assert_eq!(told(&mirror, u64::MAX), []);
        assert_eq!((mirror.number(), mirror.client("a").unwrap().version, mirror.client("b")), (5, 4, None));
    }

    #[test]
    fn nothing_old_brings_back_what_was_deleted() {
        let mut mirror = mirror(&[(2, present("a", 2)), (3, Change::Deleted { id: "a".into() })]);
        mirror.apply(2, present("a", 2));
        assert!(mirror.client("a").is_none());
        mirror.apply(4, present("a", 4));
        assert_eq!(mirror.client("a").unwrap().generation, 4);
    }

    #[test]
    fn nobody_relies_on_what_is_not_complete() {
        let mut mirror = mirror(&[(1, present("a", 1))]);
        assert_eq!(mirror.registry(Availability::Current).availability, Availability::Lost);
        mirror.complete();
        assert_eq!(mirror.registry(Availability::Current).availability, Availability::Current);
        assert_eq!(mirror.registry(Availability::Lost).availability, Availability::Lost);
    }

    #[test]
    fn revoked_tokens_are_forgotten_when_nobody_would_accept_them() {
        let mut mirror =
            mirror(&[(1, token("j1", 0)), (2, token("j2", 10)), (3, token("j1", 20)), (4, present("a", 4))]);
        mirror.forget_expired(NOW.plus(KEPT_SECONDS + 9));
        assert_eq!(mirror.registry(Availability::Current).revoked_tokens.len(), 2);
        mirror.forget_expired(NOW.plus(KEPT_SECONDS + 10));
        assert_eq!(told(&mirror, 0), [(3, token("j1", 20)), (4, present("a", 4))]);
        mirror.forget_expired(NOW.plus(KEPT_SECONDS + 20));
        assert_eq!(told(&mirror, 0), [(4, present("a", 4))]);
        assert!(mirror.registry(Availability::Current).revoked_tokens.is_empty());
        assert_eq!((mirror.numbers.len(), mirror.token_expiries.len(), mirror.number()), (1, 0, 4));
    }

    #[test]
    fn a_foreign_client_is_refused_until_it_is_not() {
        let mut mirror = mirror(&[(1, foreign("x", true)), (2, foreign("y", true)), (3, foreign("x", false))]);
        let refused = |mirror: &Mirror| mirror.refused("https://other.test").map(|ids| ids.contains("y"));
        assert_eq!(refused(&mirror), Some(true));
        mirror.apply(4, foreign("y", false));
        assert_eq!(refused(&mirror), None);
        assert_eq!(told(&mirror, 0), [(3, foreign("x", false)), (4, foreign("y", false))]);
    }

    #[test]
    fn a_clone_stays_what_it_was() {
        let before = mirror(&[(1, present("a", 1))]);
        let mut after = before.clone();
        after.apply(2, Change::Deleted { id: "a".into() });
        assert!(before.client("a").is_some() && after.client("a").is_none());
    }

    fn history() -> impl Strategy<Value = Vec<(u64, Change)>> {
        let kinds = (0..5_usize, prop::sample::select(&["a", "b", "c"][..]), 0..3_i64);
        prop::collection::vec(kinds, 1..40).prop_map(|kinds| {
            let change = |(number, (kind, id, more)): (u64, (usize, &str, i64))| {
                let change = match kind {
                    0 | 1 => present(id, number),
                    2 => Change::Deleted { id: id.into() },
                    3 => foreign(id, more > 0),
                    _ => token(id, more),
                };
                (number, change)
            };
            (1..).zip(kinds).map(change).collect()
        })
    }

    /// All that can be seen of a mirror.
    fn seen(mirror: &Mirror) -> impl PartialEq + std::fmt::Debug + use<> {
        let registry = mirror.registry(Availability::Current);
        let foreign = mirror.foreign.clone();
        (told(mirror, 0), registry.clients, registry.revoked_tokens, foreign, mirror.number(), mirror.numbers.clone())
    }

    proptest! {
        #[test]
        fn however_it_is_told_it_ends_the_same(
            history in history(),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6),
            order in prop::collection::vec(any::<u32>(), 80),
        ) {
            let all = mirror(&history);

            // Following a source that goes on: each time what is new after some number that was reached, or one before it.
            let (mut source, mut follower) = (Mirror::default(), Mirror::default());
            let ends = cuts.iter().map(|(end, from)| (end.index(history.len()), Some(from)));
            let mut ends: Vec<_> = ends.collect();
            ends.sort_by_key(|(end, _)| *end);
            ends.push((history.len(), None));
            for (end, from) in ends {
                history[..end].iter().for_each(|(number, change)| source.apply(*number, change.clone()));
                let reached = usize::try_from(follower.number()).unwrap();
                let after = from.map_or(reached, |from| from.index(reached + 1));
                for (number, change) in told(&source, after as u64) {
                    follower.apply(number, change);
                }
                prop_assert_eq!(seen(&follower), seen(&source));
            }
            prop_assert_eq!(seen(&follower), seen(&all));

            // In any order, everything twice.
            let mut shuffled: Vec<_> = order.iter().zip(history.iter().chain(&history)).collect();
            shuffled.sort_by_key(|(key, _)| **key);
            let mut any_order = Mirror::default();
            shuffled.iter().for_each(|(_, (number, change))| any_order.apply(*number, change.clone()));
            prop_assert_eq!(seen(&any_order), seen(&all));
        }
    }
}
