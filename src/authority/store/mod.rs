//! Where the authority keeps what it must not forget: clients, keys, revocations, and the log of who changed what.
//!
//! Every change is one transaction: the new state, a row of the audit log, and the next change number, or nothing of it.
//! Change numbers grow and are never used twice; whoever follows them misses nothing.

use std::fmt;

use zeroize::Zeroizing;

use super::client::Client;
use crate::config::authority::Storage;
use crate::core::algorithm::Algorithm;
use crate::core::registry::Change;
use crate::core::time::UnixSeconds;

/// A storage that is open. Clones are the same one; it may be used from any thread of any runtime.
#[derive(Debug, Clone)]
pub struct Store {}

/// Why storage did not do what it was asked. The text is for operators, and holds no secret.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or not in time.
    #[error("the storage cannot be reached: {0}")]
    Unavailable(String),
    /// What it holds, or how it is set up, is not what this program can work with.
    #[error("the storage cannot be used: {0}")]
    Unusable(String),
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError<D> {
    /// What was asked for is not possible as things are: nothing has changed.
    #[error("{0}")]
    Denied(D),
    /// The storage failed. Whether the change was made is not known.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who makes a change, for the audit log: `cli:NAME` for a user of this machine, `client:ID`, or `authority` itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub Box<str>);

/// What was done, for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A client came into being.
    Create,
    /// Some of what may be edited was.
    Edit,
    /// A client got a new expiry date.
    Renew,
    /// A client got a new secret.
    RotateSecret,
    /// A client, or a client of another issuer, was revoked.
    Revoke,
    /// The opposite.
    Restore,
    /// A client was deleted.
    Delete,
    /// One token was revoked (RFC 7009).
    RevokeToken,
    /// A signing key was made, put to use, retired or dropped.
    RotateKeys,
}

/// A row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Number of the change.
    pub number: u64,
    /// When it was made.
    pub at: UnixSeconds,
    /// Who made it.
    pub who: Actor,
    /// What was done.
    pub action: Box<str>,
    /// To what: a client id, `ISSUER CLIENT_ID`, a `jti` or a `kid`.
    pub subject: Box<str>,
    /// What it was before, as JSON without secrets.
    pub before: Option<Box<str>>,
    /// What it is now, likewise.
    pub after: Option<Box<str>>,
}

/// What has changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// Number of the last change of all; at least that of the last one in `items`.
    pub number: u64,
    /// Number of the last change of signing keys.
    pub keys_number: u64,
    /// The latest state of everything that has changed, with the number of the change, in its order.
    pub items: Vec<(u64, Change)>,
}

/// Which clients are listed: in the order of their ids.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Only those behind this id.
    pub after: Option<Box<str>>,
    /// At most so many.
    pub limit: usize,
    /// Only those that have tenants, all of them among these.
    pub within_tenants: Option<Box<[Box<str>]>>,
}

/// A signing key as it is stored.
#[derive(Clone)]
pub struct StoredKey {
    /// `kid`.
    pub key_id: Box<str>,
    /// What it signs with.
    pub algorithm: Algorithm,
    /// Where it is in its life.
    pub phase: KeyPhase,
    /// When it was made.
    pub created_at: UnixSeconds,
    /// When it came into its phase.
    pub phase_since: UnixSeconds,
    /// The private key (PKCS #8), sealed if `is_sealed`.
    pub private: Zeroizing<Vec<u8>>,
    /// Whether it is encrypted under `key_encryption_file`.
    pub is_sealed: bool,
    /// The public key as a JWK (RFC 7517).
    pub public_jwk: Box<str>,
}

/// Where a signing key is in its life. Each is published in all of them, so that no verifier meets an unknown key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPhase {
    /// Published ahead of its use.
    Next,
    /// Signs.
    Current,
    /// Signs no more; what it signed may still be valid.
    Retired,
}

impl Store {
    /// Opens the storage, and brings its tables up to date.
    ///
    /// # Errors
    /// It cannot be reached, or cannot be used.
    pub async fn open(storage: &Storage) -> Result<Self, StoreError> {
        todo!("{storage:?}")
    }

    /// The client of this id.
    pub async fn client(&self, id: &str) -> Result<Option<Client>, StoreError> {
        todo!("{id}")
    }

    /// Some clients.
    pub async fn clients(&self, page: Page) -> Result<Vec<Client>, StoreError> {
        todo!("{page:?}")
    }

    /// Changes a client in one transaction. `change` is given the client as it is, if there is one, and the number of the
    /// change; it returns what the client is to be from now on, `None` for deleted, and whatever else the caller wants to know.
    /// What it returns has that number as its `version`.
    pub async fn change<T, D>(
        &self,
        who: &Actor,
        action: Action,
        id: &str,
        now: UnixSeconds,
        change: impl FnOnce(Option<Client>, u64) -> Result<(Option<Client>, T), D> + Send + 'static,
    ) -> Result<T, ChangeError<D>>
    where
        T: Send + 'static,
        D: Send + 'static,
    {
        let _ = (who, action, id, now, change);
        todo!()
    }

    /// Refuses a client of another issuer, or refuses it no more. Whether that changed anything; if not, nothing is written.
    pub async fn refuse_foreign(
        &self,
        who: &Actor,
        iss: &str,
        id: &str,
        is_refused: bool,
        now: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let _ = (who, iss, id, is_refused, now);
        todo!()
    }

    /// Clients of other issuers that are refused: `iss` and client id.
    pub async fn refused_foreign(&self) -> Result<Vec<(Box<str>, Box<str>)>, StoreError> {
        todo!()
    }

    /// Revokes one token. Rows of tokens that are expired anyway are forgotten on the way.
    pub async fn revoke_token(
        &self,
        who: &Actor,
        jti: &str,
        expires: UnixSeconds,
        now: UnixSeconds,
    ) -> Result<(), StoreError> {
        let _ = (who, jti, expires, now);
        todo!()
    }

    /// Whether this token was revoked.
    pub async fn is_token_revoked(&self, jti: &str) -> Result<bool, StoreError> {
        todo!("{jti}")
    }

    /// Notes when clients last got a token. That is no change: it has no number and no row in the audit log.
    pub async fn used(&self, clients: Vec<(Box<str>, UnixSeconds)>) -> Result<(), StoreError> {
        todo!("{clients:?}")
    }

    /// All signing keys.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        todo!()
    }

    /// Changes the signing keys in one transaction: `change` is given all there are and returns all there are to be, or
    /// `None` to leave them as they are. What there is then.
    pub async fn change_keys<D: Send + 'static>(
        &self,
        who: &Actor,
        now: UnixSeconds,
        change: impl FnOnce(&[StoredKey]) -> Result<Option<Vec<StoredKey>>, D> + Send + 'static,
    ) -> Result<Vec<StoredKey>, ChangeError<D>> {
        let _ = (who, now, change);
        todo!()
    }

    /// What has changed after the change of this number; everything there is after 0.
    pub async fn changes(&self, after: u64) -> Result<Changes, StoreError> {
        todo!("{after}")
    }

    /// Returns when there may be changes after this number: at once after one of this process, within a moment after one of
    /// another. It may return for nothing.
    ///
    /// # Errors
    /// Storage cannot be reached.
    pub async fn changed(&self, after: u64) -> Result<(), StoreError> {
        todo!("{after}")
    }

    /// Rows of the audit log, oldest first.
    pub async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        todo!("{after} {limit}")
    }
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("key_id", &self.key_id).field("phase", &self.phase).finish_non_exhaustive()
    }
}
