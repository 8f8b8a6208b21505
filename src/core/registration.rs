//! Whether the client of a token is still the one that the token was issued to, as whoever registers it says now.

use super::claims::client_text;
use super::json::{Json, Object};
use super::registry::{Availability, Clients, NameSet, Registered, Registry};
use super::rejection::{Reason, Rejection};
use super::time::UnixSeconds;

/// What a registry says of a client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'s> {
    /// Nothing: nobody registers the clients of this issuer.
    NotKept,
    /// That there is none of this id, or the token names none.
    Absent,
    /// What it is.
    Present(&'s Registered),
}

impl<'s> Entry<'s> {
    /// The entry of a token's client.
    pub(super) fn of(clients: Option<&'s Clients>, client_id: Option<&str>) -> Self {
        let Some(registry) = clients.and_then(|clients| clients.registry.as_ref()) else { return Self::NotKept };
        let client = client_id.and_then(|id| registry.clients.get(id));
        client.map_or(Self::Absent, |client| Self::Present(client))
    }

    /// The first second at which the client is expired.
    pub(super) fn expires(self) -> Option<UnixSeconds> {
        match self {
            Self::Present(client) => Some(client.expires),
            Self::NotKept | Self::Absent => None,
        }
    }

    /// What tells it from what it was before.
    fn edition(self) -> Edition {
        match self {
            Self::NotKept => Edition::NotKept,
            Self::Absent => Edition::Absent,
            Self::Present(client) => Edition::Version(client.version),
        }
    }
}

/// An [`Entry`], as far as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edition {
    NotKept,
    Absent,
    /// Number of the client's last change.
    Version(u64),
}

/// What is kept of a token to hold it against its client's registration.
#[derive(Debug)]
pub(super) struct Registration {
    /// Under which the principal was worked out.
    edition: Edition,
    /// `gen`: the client's generation when the token was issued. One that is no such number is none.
    generation: Option<u64>,
    /// `jti` (RFC 7519 section 4.1.7).
    token_id: Option<Box<str>>,
}

impl Registration {
    pub(super) fn read(entry: Entry<'_>, claims: &Object<'_>) -> Self {
        let generation = match claims.get("gen") {
            Some(Json::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        Self { edition: entry.edition(), generation, token_id: claims.str("jti").map(Box::from) }
    }

    /// Whether what was worked out under the entry of that time still holds.
    pub(super) fn is_of(&self, entry: Entry<'_>) -> bool {
        self.edition == entry.edition()
    }

    pub(super) fn version(&self) -> Option<u64> {
        match self.edition {
            Edition::Version(number) => Some(number),
            Edition::NotKept | Edition::Absent => None,
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.token_id.as_ref().map_or(0, |id| id.len())
    }

    /// Whether the client still stands. In this order: refused here, registry, registered, revoked, expired, revoked since the
    /// token was issued, the token itself.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn check(
        &self,
        clients: &Clients,
        entry: Entry<'_>,
        client_id: Option<&str>,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        check_refused(&clients.refused, client_id)?;
        if clients.awaits_refused {
            let detail = "the registry that says which clients are refused was not there as yet";
            return Err(Rejection::new(Reason::RegistryUnavailable, detail));
        }
        let Some(registry) = &clients.registry else { return Ok(()) };
        match registry.availability {
            Availability::Current => self.check_registered(registry, entry, client_id, now),
            Availability::Lost => {
                Err(Rejection::new(Reason::RegistryUnavailable, "the registry of the issuer's clients is not there"))
            }
        }
    }

    /// Whether it still stands as far as is known: nothing can be said of a client that a lost registry does not know.
    ///
    /// # Errors
    /// The first check that fails.
    pub(super) fn stands(
        &self,
        clients: &Clients,
        entry: Entry<'_>,
        client_id: Option<&str>,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        check_refused(&clients.refused, client_id)?;
        match (&clients.registry, entry) {
            (None, _) | (Some(Registry { availability: Availability::Lost, .. }), Entry::Absent) => Ok(()),
            (Some(registry), _) => self.check_registered(registry, entry, client_id, now),
        }
    }

    fn check_registered(
        &self,
        registry: &Registry,
        entry: Entry<'_>,
        client_id: Option<&str>,
        now: UnixSeconds,
    ) -> Result<(), Rejection> {
        let refused = |reason, what: &str| Err(Rejection::new(reason, format!("{} {what}", client_text(client_id))));
        let Entry::Present(client) = entry else { return refused(Reason::ClientUnknown, "is not registered") };
        if client.is_revoked {
            return refused(Reason::ClientRevoked, "is revoked");
        }
        // No leeway: that is for the clocks of those who issue tokens, and this date was set by people, for everybody.
        if now >= client.expires {
            return refused(Reason::ClientExpired, "is expired");
        }
        if self.generation != Some(client.generation) {
            return refused(Reason::ClientRevoked, "was revoked or created anew after the token was issued");
        }
        let is_revoked = |id| !registry.revoked_tokens.is_empty() && registry.revoked_tokens.contains(id);
        match self.token_id.as_deref().is_some_and(is_revoked) {
            true => Err(Rejection::new(Reason::TokenRevoked, "the token was revoked")),
            false => Ok(()),
        }
    }
}

fn check_refused(refused: &NameSet, client_id: Option<&str>) -> Result<(), Rejection> {
    match client_id.is_some_and(|id| !refused.is_empty() && refused.contains(id)) {
        true => Err(Rejection::new(Reason::ClientRevoked, format!("{} is refused here", client_text(client_id)))),
        false => Ok(()),
    }
}
