//! App Clients: systems that have credentials here.

use std::fmt;

use crate::core::registry::Registered;
use crate::core::time::UnixSeconds;

use super::secret::SecretHash;

/// An App Client as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its id; never changes.
    pub id: Box<str>,
    /// 1 to 128 characters.
    pub name: Box<str>,
    /// What it is for.
    pub description: Box<str>,
    /// Whatever its keepers want to remember.
    pub notes: Box<str>,
    /// Scopes of the catalogue, without the authority's prefix, sorted.
    pub scopes: Box<[Box<str>]>,
    /// Roles of the configuration, sorted.
    pub roles: Box<[Box<str>]>,
    /// Tenants, sorted.
    pub tenants: Box<[Box<str>]>,
    /// Its secrets: none if it signs its requests, two while one is rotated.
    pub secrets: Vec<StoredSecret>,
    /// Its public keys (RFC 7517), if it signs its requests (RFC 7523).
    pub jwks: Option<Box<str>>,
    /// Whether it is revoked.
    pub is_revoked: bool,
    /// When it was created.
    pub created_at: UnixSeconds,
    /// The first second at which it is expired.
    pub expires_at: UnixSeconds,
    /// When it last got a token, to within a minute.
    pub last_used_at: Option<UnixSeconds>,
    /// Number of the change from which on its tokens count: its creation or its last revocation.
    pub generation: u64,
    /// Number of the change that made it what it is.
    pub version: u64,
}

/// A live secret of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// What is kept of it.
    pub hash: SecretHash,
    /// When it was made.
    pub created_at: UnixSeconds,
    /// The first second at which it does not count any more; `None` for the one that is not being replaced.
    pub expires_at: Option<UnixSeconds>,
}

/// What a client is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It gets tokens.
    Active,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

impl Client {
    /// What it is now. Revoked comes before expired: that is the one somebody has decided on.
    #[must_use]
    pub fn status(&self, now: UnixSeconds) -> Status {
        match self {
            Self { is_revoked: true, .. } => Status::Revoked,
            Self { expires_at, .. } if now >= *expires_at => Status::Expired,
            _ => Status::Active,
        }
    }

    /// What gateways know of it.
    #[must_use]
    pub fn registered(&self) -> Registered {
        Registered {
            version: self.version,
            generation: self.generation,
            is_revoked: self.is_revoked,
            expires: self.expires_at,
            scopes: self.scopes.clone(),
            roles: self.roles.clone(),
            tenants: self.tenants.clone(),
        }
    }
}

impl Status {
    /// Its name in tables, JSON and the feed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
