//! `authority`: tokens of our own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use zeroize::Zeroizing;

use crate::core::algorithm::Algorithm;

/// The scope that lets read App Clients.
pub const CLIENTS_READ: &str = "sidegate.clients:read";
/// The scope that lets read and change App Clients.
pub const CLIENTS_WRITE: &str = "sidegate.clients:write";
/// The scope that lets a gateway follow the client registry.
pub const REGISTRY_READ: &str = "sidegate.registry:read";

/// The `authority` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// `iss` of its tokens, and the base of its endpoints' URLs. A token with one of the scopes above has it as its `aud`.
    pub issuer: Box<str>,
    /// Where it keeps what it must not forget. Only a start can change it.
    pub storage: Storage,
    /// How long the client registry serves when the storage is lost.
    pub max_stale: Duration,
    /// What private keys are encrypted under in the storage (AES-256-GCM).
    pub key_encryption: Option<KeyEncryptionKey>,
    /// `aud` of its tokens.
    pub audience: Box<str>,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// What new keys sign with: `RS256`, `ES256` or `EdDSA`.
    pub algorithm: Algorithm,
    /// How long a key signs.
    pub rotate_keys: Duration,
    /// Put before a chosen client id, unless it is there.
    pub client_id_prefix: Box<str>,
    /// Which listeners serve its endpoints, by their place in `listeners`.
    pub listeners: Box<[bool]>,
    /// Paths of the token endpoint; at least one. The first one is announced.
    pub token_paths: Box<[Box<str>]>,
    /// Put before each scope in tokens and on the wire.
    pub scope_prefix: Box<str>,
    /// The catalogue, without the prefix: scope and description. The `sidegate.` scopes are in it.
    pub scopes: BTreeMap<Box<str>, Box<str>>,
    /// Where the first start writes the secret of the client `admin`, if there is no terminal.
    pub admin_secret_file: Option<PathBuf>,
}

/// What the authority answers on the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `authority.token_paths` (RFC 6749 section 3.2).
    Token,
    /// `/oauth2/introspect` (RFC 7662).
    Introspect,
    /// `/oauth2/revoke` (RFC 7009).
    Revoke,
    /// `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0).
    OpenidConfiguration,
    /// `/.well-known/oauth-authorization-server` (RFC 8414).
    OauthMetadata,
    /// `/.well-known/jwks.json` (RFC 7517).
    Jwks,
    /// `/registry/v1/changes`: the feed of the client registry.
    Changes,
}

/// `authority.storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(Postgres),
}

/// A PostgreSQL database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgres {
    /// The connection string, without a password.
    pub url: Box<str>,
    /// What `storage_password_file` holds.
    pub password: Option<Secret>,
}

/// `issuers[].registry`: the feed of another Sidegate's client registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryFeed {
    /// Where that one's listener is.
    pub url: Uri,
    /// Our client there.
    pub client_id: Box<str>,
    /// Its secret.
    pub client_secret: Secret,
}

/// A text that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Zeroizing<String>);

/// The key that private keys are encrypted under.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyEncryptionKey(pub Zeroizing<[u8; 32]>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl fmt::Debug for KeyEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyEncryptionKey(…)")
    }
}
