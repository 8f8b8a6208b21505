//! The registries that are followed, and what they make of the clients of each issuer.

use std::sync::Arc;

use http::Uri;

use super::mirror::Mirror;
use crate::config::{Config, RegistrySource};
use crate::core::registry::{Availability, Clients, NameSet};
use crate::core::snapshot::{Issuer, IssuerId, Issuers};

/// Whose registry it is. What one source has told is never in force as another's, though a reload may put the one in the
/// other's place while something is still on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Our own authority's.
    Authority,
    /// The feed of another one. Who asks there, and with which secret, does not matter.
    Feed {
        /// The issuer whose clients it tells.
        iss: Box<str>,
        /// Where it is.
        url: Uri,
    },
}

impl Source {
    /// That of `issuer`, if `origin` is where its registry comes from; `None` if it has none.
    fn of(issuer: &Issuer, origin: &RegistrySource) -> Option<Self> {
        match origin {
            RegistrySource::None => None,
            RegistrySource::Authority => Some(Self::Authority),
            RegistrySource::Feed(feed) => Some(Self::Feed { iss: issuer.iss.clone(), url: feed.url.clone() }),
        }
    }
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
pub(in crate::live) fn follow(config: &Config, before: &[Option<Followed>]) -> Arc<[Option<Followed>]> {
    let issuers = config.snapshot.issuers.iter().zip(&config.registries);
    let follow = issuers.map(|(issuer, origin)| {
        let source = Source::of(issuer, origin)?;
        let known = before.iter().flatten().find(|known| known.source == source);
        let (mirror, availability) =
            known.map_or_else(Default::default, |known| (Arc::clone(&known.mirror), known.availability));
        Some(Followed { source, origin: origin.clone(), mirror, availability })
    });
    follow.collect()
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
