//! Whether requests may be sent here, and what is wrong if they may all the same.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::core::snapshot::Issuer;
use crate::live::keys::KeyOrigin;
use crate::live::registry::RegistryStates;
use crate::live::state::Generation;

/// Most issuers that are named in a cause.
const NAMES_SHOWN: usize = 8;

/// How far the process has come. It only ever goes on: once ready, only draining makes it unready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Not every listener is bound yet.
    Starting = 0,
    /// Every listener is bound, and the keys of some issuer have yet to be fetched.
    AwaitingKeys = 1,
    /// Requests may come.
    Ready = 2,
    /// The process was told to end.
    Draining = 3,
}

/// The phase, shared by all who have to know.
#[derive(Debug, Default)]
pub struct Readiness(AtomicU8);

impl Readiness {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::AwaitingKeys,
            2 => Phase::Ready,
            _ => Phase::Draining,
        }
    }

    /// Goes on to `phase`; there is no way back.
    pub fn advance(&self, phase: Phase) {
        self.0.fetch_max(phase as u8, Ordering::AcqRel);
    }
}

/// What whoever asks is told. The causes are for people, and for anybody: they hold names of issuers and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    Ready,
    /// Requests may come, and some of them will be refused, or soon.
    Degraded(String),
    Unready(String),
}

impl Standing {
    pub(super) fn of(phase: Phase, generation: &Generation, registries: &RegistryStates) -> Self {
        match phase {
            Phase::Starting => Self::Unready("starting: not every listener is bound yet".to_owned()),
            Phase::AwaitingKeys => {
                let causes = [without_keys(generation), without_registry(generation)].into_iter().flatten().collect();
                let without = joined(causes).unwrap_or_else(|| "almost there".to_owned());
                Self::Unready(format!("starting: {without}"))
            }
            Phase::Ready => degradation(generation, registries).map_or(Self::Ready, Self::Degraded),
            Phase::Draining => Self::Unready("draining: the process is about to end".to_owned()),
        }
    }
}

fn degradation(generation: &Generation, registries: &RegistryStates) -> Option<String> {
    let causes = [without_keys(generation), not_refreshed(generation), without_registry(generation)];
    joined(causes.into_iter().flatten().chain(not_followed(generation, registries)).collect())
}

fn joined(causes: Vec<String>) -> Option<String> {
    (!causes.is_empty()).then(|| causes.join("; "))
}

fn without_keys(generation: &Generation) -> Option<String> {
    names(generation, |issuer, _| issuer.keys.iter().len() == 0).map(|names| format!("no keys of {names}"))
}

fn not_refreshed(generation: &Generation) -> Option<String> {
    let failing = |issuer: &Issuer, origin: &KeyOrigin| {
        let last = origin.state.known().last_refresh;
        issuer.keys.iter().len() > 0 && last.is_some_and(|last| last.error.is_some())
    };
    names(generation, failing).map(|names| format!("the last attempt to refresh the keys of {names} failed"))
}

fn without_registry(generation: &Generation) -> Option<String> {
    let issuers = &generation.snapshot.issuers;
    let lacking = issuers.with_ids().filter(|(id, _)| issuers.lacks_registry(*id)).map(|(_, issuer)| &*issuer.name);
    listed(lacking.collect()).map(|names| format!("no client registry of {names}"))
}

/// What is known serves for a while.
fn not_followed(generation: &Generation, registries: &RegistryStates) -> Option<String> {
    let (issuers, states) = (&generation.snapshot.issuers, registries.all());
    let failing = |name: &str| states.get(name).is_some_and(|state| state.error.is_some());
    let names = issuers.with_ids().filter(|(id, issuer)| !issuers.lacks_registry(*id) && failing(&issuer.name));
    listed(names.map(|(_, issuer)| &*issuer.name).collect())
        .map(|names| format!("the client registry of {names} cannot be followed"))
}

/// The names of the issuers that `wanted` holds for, if there are any.
fn names(generation: &Generation, wanted: impl Fn(&Issuer, &KeyOrigin) -> bool) -> Option<String> {
    let all = generation.snapshot.issuers.iter().zip(&*generation.key_origins);
    listed(all.filter(|(issuer, origin)| wanted(issuer, origin)).map(|(issuer, _)| &*issuer.name).collect())
}

fn listed(names: Vec<&str>) -> Option<String> {
    let shown = names.iter().take(NAMES_SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_SHOWN) {
        _ if names.is_empty() => None,
        0 => Some(shown),
        more => Some(format!("{shown} and {more} more")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_no_way_back() {
        let readiness = Readiness::default();
        assert_eq!(readiness.phase(), Phase::Starting);
        readiness.advance(Phase::Ready);
        readiness.advance(Phase::AwaitingKeys);
        assert_eq!(readiness.phase(), Phase::Ready);
        readiness.advance(Phase::Draining);
        readiness.advance(Phase::Ready);
        assert_eq!(readiness.phase(), Phase::Draining);
    }
}
