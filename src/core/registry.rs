//! The clients of an issuer, as whoever registers them says now: what ends a token before it expires.
//!
//! A registry comes into the snapshot from outside, like keys. It is a persistent map, so that the change of one client
//! copies a few nodes of it, and a snapshot with another registry shares all the rest.

use std::sync::Arc;

use imbl::shared_ptr::DefaultSharedPtr;
use imbl::{GenericHashMap, GenericHashSet};
use rustc_hash::FxBuildHasher;

use super::time::UnixSeconds;

/// A persistent map by name. No protection against flooding is needed: only those who register clients insert.
pub type NameMap<V> = GenericHashMap<Box<str>, V, FxBuildHasher, DefaultSharedPtr>;
/// A persistent set of names.
pub type NameSet = GenericHashSet<Box<str>, FxBuildHasher, DefaultSharedPtr>;

/// A client, as far as requests depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Number of the change that made it what it is. A principal that was worked out under another one is worked out again.
    pub version: u64,
    /// Number of the change from which on its tokens count: its creation, or when it was last revoked. Tokens carry it, and
    /// it is never used twice.
    pub generation: u64,
    /// Whether it is revoked.
    pub is_revoked: bool,
    /// The first second at which it is expired.
    pub expires: UnixSeconds,
    /// Its own scopes, without the authority's prefix.
    pub scopes: Box<[Box<str>]>,
    /// Its roles.
    pub roles: Box<[Box<str>]>,
    /// Its tenants.
    pub tenants: Box<[Box<str>]>,
}

/// All clients of an issuer.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    /// The clients. One that is not here is unknown.
    pub clients: NameMap<Arc<Registered>>,
    /// `jti` of tokens that were revoked one by one.
    pub revoked_tokens: NameSet,
    /// Whether all this can be relied on.
    pub availability: Availability,
}

/// Whether a registry can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Availability {
    /// It is complete, and no older than it may be.
    Current,
    /// It is not there as yet, or its source was lost too long ago.
    #[default]
    Lost,
}

/// What is known of the clients of one issuer beside their tokens.
#[derive(Debug, Clone, Default)]
pub struct Clients {
    /// All of them, if the issuer's clients are registered somewhere that is followed.
    pub registry: Option<Registry>,
    /// Those that are refused though nobody here registers them.
    pub refused: NameSet,
    /// Whether `refused` is still to come: until then nobody can tell who is in it.
    pub awaits_refused: bool,
}

/// One change of what is registered, as storage and feeds tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A client was created or changed.
    Client {
        /// Its id.
        id: Box<str>,
        /// What it is now.
        now: Arc<Registered>,
    },
    /// A client was deleted.
    Deleted {
        /// Its id.
        id: Box<str>,
    },
    /// A client of an issuer that is registered elsewhere is refused, or is not any more.
    Foreign {
        /// The issuer's `iss`.
        iss: Box<str>,
        /// The client's id.
        id: Box<str>,
        /// Whether it is refused.
        is_refused: bool,
    },
    /// One token was revoked.
    Token {
        /// Its `jti`.
        jti: Box<str>,
        /// The first second at which it is expired anyway.
        expires: UnixSeconds,
    },
}
