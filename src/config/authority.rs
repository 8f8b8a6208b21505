//! `authority`: tokens of our own.

mod section;
mod storage;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use zeroize::Zeroizing;

use crate::core::algorithm::Algorithm;
use crate::core::scope::ADMIN_SCOPE;

pub(super) use section::decode;

/// What the authority is called among the issuers.
pub const ISSUER_NAME: &str = "authority";
/// The scope that lets read App Clients.
pub const CLIENTS_READ: &str = "sidegate.clients:read";
/// The scope that lets read and change App Clients.
pub const CLIENTS_WRITE: &str = "sidegate.clients:write";
/// The scope that lets a gateway follow the client registry.
pub const REGISTRY_READ: &str = "sidegate.registry:read";

/// What the names of scopes begin with that are Sidegate's own.
pub const CONTROL_SCOPE_PREFIX: &str = "sidegate.";
/// The scopes that are in every catalogue, and what they are for.
pub const CONTROL_SCOPES: [(&str, &str); 4] = [
    (ADMIN_SCOPE, "Ask an admin listener that other machines can reach for status, metrics and a reload"),
    (CLIENTS_READ, "Read App Clients"),
    (CLIENTS_WRITE, "Read and change App Clients"),
    (REGISTRY_READ, "Follow the client registry"),
];
/// Longest client id in bytes.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// The characters of a client id that is generated, behind the prefix.
pub const GENERATED_ID_CHARACTERS: usize = 20;

/// What the authority serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `token_paths` (RFC 6749 section 3.2).
    Token,
    /// Token introspection (RFC 7662).
    Introspect,
    /// Token revocation (RFC 7009).
    Revoke,
    /// OpenID Connect Discovery 1.0 section 4.
    OpenidConfiguration,
    /// Authorization server metadata (RFC 8414).
    OauthMetadata,
    /// Its public keys (RFC 7517 section 5).
    Jwks,
    /// The client registry, for gateways that follow it.
    Changes,
}

impl Endpoint {
    /// The endpoint at a path that no configuration can change.
    #[must_use]
    pub fn fixed(path: &str) -> Option<Self> {
        Some(match path {
            "/oauth2/introspect" => Self::Introspect,
            "/oauth2/revoke" => Self::Revoke,
            "/.well-known/openid-configuration" => Self::OpenidConfiguration,
            "/.well-known/oauth-authorization-server" => Self::OauthMetadata,
            "/.well-known/jwks.json" => Self::Jwks,
            "/registry/v1/changes" => Self::Changes,
            _ => return None,
        })
    }
}

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

impl Authority {
    /// What it serves at a path, compared exactly.
    #[must_use]
    pub fn endpoint(&self, path: &str) -> Option<Endpoint> {
        if self.token_paths.iter().any(|token| **token == *path) {
            return Some(Endpoint::Token);
        }
        Endpoint::fixed(path)
    }
}

/// `authority.storage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// `sqlite:PATH`.
    Sqlite(PathBuf),
    /// `postgres://…`.
    Postgres(Postgres),
}

impl Storage {
    /// The same storage, without the password for it.
    #[must_use]
    pub fn without_password(&self) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(path.clone()),
            Self::Postgres(postgres) => Self::Postgres(Postgres { url: postgres.url.clone(), password: None }),
        }
    }
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

/// Whether a text can stand in a client id, at its beginning: letters, digits, and behind the first of them `.`, `_`, `~`,
/// `@` and `-`. None of them means anything in a URL, a form, or the user name of HTTP's basic scheme (RFC 7617).
#[must_use]
pub fn is_client_id(text: &str) -> bool {
    text.len() <= CLIENT_ID_BYTES_MAX
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~@-".contains(&byte))
}

impl fmt::Display for Storage {
    /// As in the configuration, without options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(postgres) => f.write_str(postgres.url.split('?').next().unwrap_or_default()),
        }
    }
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
