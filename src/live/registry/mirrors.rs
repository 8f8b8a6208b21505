//! The registries that are followed, and what they make of the clients of each issuer.

use std::sync::Arc;

use super::mirror::Mirror;
use crate::config::{Config, RegistrySource};
use crate::core::registry::{Availability, Clients, NameSet};
use crate::core::snapshot::{IssuerId, Issuers, Snapshot};

/// Whose registry it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// Our own authority's.
    Authority,
    /// The feed of the issuer of this name in the configuration.
    Feed(Box<str>),
}

/// A registry that is followed for an issuer.
#[derive(Debug, Clone)]
pub struct Followed {
    /// Whose it is.
    pub source: Source,
    /// Where it comes from, as configured.
    pub origin: RegistrySource,
    /// What it has told so far.
    pub mirror: Arc<Mirror>,
    /// Whether that can be relied on: [`Availability::Lost`] until its source says otherwise.
    pub availability: Availability,
}

/// What `config` says is to be followed, in the order of its issuers. What has been told `before` by a source that is still
/// there is not forgotten.
pub(in crate::live) fn follow(
    config: &Config,
    before: Option<(&Snapshot, &[Option<Followed>])>,
) -> Arc<[Option<Followed>]> {
    let issuers = config.snapshot.issuers.iter().zip(&config.registries);
    let follow = issuers.map(|(issuer, origin)| {
        let source = match origin {
            RegistrySource::None => return None,
            RegistrySource::Authority => Source::Authority,
            RegistrySource::Feed(_) => Source::Feed(issuer.name.clone()),
        };
        let known = before.and_then(|(snapshot, followed)| {
            let mut known = snapshot.issuers.iter().zip(followed);
            let (_, known) = known.find(|(old, _)| old.iss == issuer.iss)?;
            known.as_ref().filter(|known| is_the_same(&known.origin, origin))
        });
        let (mirror, availability) =
            known.map_or_else(Default::default, |known| (Arc::clone(&known.mirror), known.availability));
        Some(Followed { source, origin: origin.clone(), mirror, availability })
    });
    follow.collect()
}

/// Whether two origins tell the same: who asks there, and with which secret, does not matter.
fn is_the_same(one: &RegistrySource, other: &RegistrySource) -> bool {
    match (one, other) {
        (RegistrySource::Authority, RegistrySource::Authority) => true,
        (RegistrySource::Feed(one), RegistrySource::Feed(other)) => one.url == other.url,
        _ => false,
    }
}

/// The same issuers, with the clients that these registries say they have, and without those that they refuse.
pub(in crate::live) fn with_clients(issuers: &Issuers, followed: &[Option<Followed>]) -> Issuers {
    let mut next = issuers.clone();
    // Who was refused before a start is refused after it, too: until the registries have said so, nobody gets in by not being
    // among them. A registry that was complete once and is lost since says no less than it did.
    let awaits_refused = followed.iter().flatten().any(|followed| !followed.mirror.is_complete());
    for ((id, issuer), own) in (0..).map(IssuerId).zip(issuers.iter()).zip(followed) {
        let registry = own.as_ref().map(|own| own.mirror.registry(own.availability));
        next = next
            .with_clients(id, Arc::new(Clients { registry, refused: refused(&issuer.iss, followed), awaits_refused }));
    }
    next
}

/// Who is refused though none of these registries knows it as its own. One source is the rule, and costs nothing.
fn refused(iss: &str, followed: &[Option<Followed>]) -> NameSet {
    let sets = followed.iter().flatten().filter_map(|followed| followed.mirror.refused(iss)).cloned();
    sets.reduce(NameSet::union).unwrap_or_default()
}
