//! Where the authority keeps what it must not forget: clients, keys, revocations, and the log of who changed what.
//!
//! Every change is one transaction: the new state, a row of the audit log, and the next change number, or nothing of it.
//! Change numbers grow and are never used twice; whoever follows them misses nothing.

mod audit;
mod key;
mod link;
mod postgres;
mod read;
mod revoked;
mod rows;
mod sqlite;
mod waiter;
mod write;

use std::fmt;

use tokio::sync::oneshot;

pub use self::audit::{Action, Actor, AuditRow};
pub use self::key::{KeyPhase, StoredKey};
use self::link::{Access, Ended, Job, Link};
use self::postgres::Postgres;
pub use self::revoked::{RevokedToken, TooManyRevoked};
use self::sqlite::Sqlite;
use self::waiter::Waiter;
use self::write::Entry;
use super::client::Client;
use crate::config::authority::Storage;
use crate::core::registry::Change;
use crate::core::time::UnixSeconds;

/// A storage that is open. Clones are the same one; it may be used from any thread of any runtime.
#[derive(Clone)]
pub struct Store(Database);

#[derive(Clone)]
enum Database {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// Why storage did not do what it was asked. The text is for operators, and holds no secret.
#[derive(Debug, Clone, thiserror::Error)]
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

impl Store {
    /// Opens the storage, and brings its tables up to date.
    ///
    /// # Errors
    /// It cannot be reached, or cannot be used.
    pub async fn open(storage: &Storage) -> Result<Self, StoreError> {
        match storage {
            Storage::Sqlite(path) => Sqlite::open(path).await.map(Database::Sqlite).map(Self),
            Storage::Postgres(settings) => {
                let store = Self(Database::Postgres(Postgres::start(settings)?));
                store.run(Access::Write, postgres::migrate).await?;
                Ok(store)
            }
        }
    }

    /// Number of the last change; 0 before the first one.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn number(&self) -> Result<u64, StoreError> {
        self.read(read::number).await
    }

    /// The client of this id.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn client(&self, id: &str) -> Result<Option<Client>, StoreError> {
        if !is_storable(id) {
            return Ok(None);
        }
        let id: Box<str> = id.into();
        self.read(async move |link: Link<'_>| read::client(link, &id).await).await
    }

    /// Some clients.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn clients(&self, mut page: Page) -> Result<Vec<Client>, StoreError> {
        // No id and no tenant has a NUL. Behind `a`, NUL and anything come the same ids as behind `a`.
        page.after = page.after.map(|id| id.split('\0').next().unwrap_or_default().into());
        page.within_tenants = page.within_tenants.map(|all| all.into_iter().filter(|one| is_storable(one)).collect());
        self.read(async move |link: Link<'_>| read::clients(link, &page).await).await
    }

    /// Changes a client in one transaction. `change` is given the client as it is, if there is one, and the number of the
    /// change; it returns what the client is to be from now on, `None` for deleted, and whatever else the caller wants to know.
    /// What it returns has that number as its `version`. Its `last_used_at` counts for a new client only: what changes it
    /// later is [`Self::used`]. `None` for a client that there is not writes nothing.
    ///
    /// # Errors
    /// What `change` says, and those of the storage.
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
        let (who, id) = (who.clone(), Box::<str>::from(id));
        let work = async move |link: Link<'_>| {
            let number = write::next_number(link).await?;
            // Nobody has an id that cannot be stored. To ask for it would be an error of the storage.
            let before = if is_storable(&id) { read::client(link, &id).await? } else { None };
            match change(before.clone(), number) {
                Err(denied) => Ok(Ended::RollBack(Err(denied))),
                Ok((after, done)) => {
                    let entry = Entry { number, who, action, at: now };
                    write::client(link, &entry, &id, before.as_ref(), after, Ok(done)).await
                }
            }
        };
        self.run(Access::Write, work).await?.map_err(ChangeError::Denied)
    }

    /// Refuses a client of another issuer, or refuses it no more. Whether that changed anything; if not, nothing is written.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn refuse_foreign(
        &self,
        who: &Actor,
        iss: &str,
        id: &str,
        is_refused: bool,
        now: UnixSeconds,
    ) -> Result<bool, StoreError> {
        let (who, iss, id) = (who.clone(), Box::<str>::from(iss), Box::<str>::from(id));
        let action = if is_refused { Action::Revoke } else { Action::Restore };
        let work = async move |link: Link<'_>| {
            let entry = Entry { number: write::next_number(link).await?, who, action, at: now };
            write::refuse_foreign(link, &entry, &iss, &id, is_refused).await
        };
        self.run(Access::Write, work).await
    }

    /// Clients of other issuers that are refused: `iss` and client id.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn refused_foreign(&self) -> Result<Vec<(Box<str>, Box<str>)>, StoreError> {
        self.read(read::refused_foreign).await
    }

    /// Revokes one token; nothing is written if it is revoked already. Rows of tokens that are expired anyway are forgotten
    /// on the way.
    ///
    /// # Errors
    /// Its client has revoked `live_max` others, all of which are remembered by every gateway; and those of the storage.
    pub async fn revoke_token(
        &self,
        who: &Actor,
        token: RevokedToken,
        live_max: u64,
        now: UnixSeconds,
    ) -> Result<(), ChangeError<TooManyRevoked>> {
        let who = who.clone();
        let work = async move |link: Link<'_>| {
            let number = write::next_number(link).await?;
            let entry = Entry { number, who, action: Action::RevokeToken, at: now };
            write::revoke_token(link, &entry, &token, live_max).await
        };
        self.run(Access::Write, work).await?.map_err(ChangeError::Denied)
    }

    /// Whether this token was revoked.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn is_token_revoked(&self, jti: &str) -> Result<bool, StoreError> {
        if !is_storable(jti) {
            return Ok(false);
        }
        let jti: Box<str> = jti.into();
        self.read(async move |link: Link<'_>| read::is_token_revoked(link, &jti).await).await
    }

    /// Notes when clients last got a token. That is no change: it has no number and no row in the audit log.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn used(&self, clients: Vec<(Box<str>, UnixSeconds)>) -> Result<(), StoreError> {
        let work = async move |link: Link<'_>| write::used(link, clients).await.map(Ended::Commit);
        self.run(Access::Write, work).await
    }

    /// All signing keys, the oldest first.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.read(read::keys).await
    }

    /// Changes the signing keys in one transaction: `change` is given all there are and returns all there are to be, or
    /// `None` to leave them as they are. What there is then.
    ///
    /// # Errors
    /// What `change` says, and those of the storage.
    pub async fn change_keys<D: Send + 'static>(
        &self,
        who: &Actor,
        now: UnixSeconds,
        change: impl FnOnce(&[StoredKey]) -> Result<Option<Vec<StoredKey>>, D> + Send + 'static,
    ) -> Result<Vec<StoredKey>, ChangeError<D>> {
        let who = who.clone();
        let work = async move |link: Link<'_>| {
            // First of all: it keeps others from changing the keys between reading and writing.
            let number = write::next_number(link).await?;
            let before = read::keys(link).await?;
            match change(&before) {
                Err(denied) => Ok(Ended::RollBack(Err(denied))),
                Ok(None) => Ok(Ended::RollBack(Ok(before))),
                Ok(Some(after)) => {
                    let entry = Entry { number, who, action: Action::RotateKeys, at: now };
                    write::keys(link, &entry, &before, &after).await?;
                    Ok(Ended::Commit(Ok(after)))
                }
            }
        };
        self.run(Access::Write, work).await?.map_err(ChangeError::Denied)
    }

    /// What has changed after the change of this number; everything there is after 0.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn changes(&self, after: u64) -> Result<Changes, StoreError> {
        self.read(async move |link: Link<'_>| read::changes(link, after).await).await
    }

    /// Returns when there may be changes after this number: at once after one of this process, within a moment after one of
    /// another. It may return for nothing.
    ///
    /// # Errors
    /// Storage cannot be reached.
    pub async fn changed(&self, after: u64) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        let waiter = Waiter { after, reply };
        match &self.0 {
            Database::Sqlite(sqlite) => sqlite.wait(waiter),
            Database::Postgres(postgres) => postgres.wait(waiter),
        }
        answer.await.unwrap_or_else(|_| Err(no_answer()))
    }

    /// How often another file has taken the place of the storage. Numbers of changes before and after have nothing to do with
    /// one another. It is counted before anything of the new file is read.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        match &self.0 {
            Database::Sqlite(sqlite) => sqlite.replaced(),
            Database::Postgres(_) => 0,
        }
    }

    /// Rows of the audit log, oldest first.
    ///
    /// # Errors
    /// Of the storage.
    pub async fn audit(&self, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
        self.read(async move |link: Link<'_>| read::audit(link, after, limit).await).await
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Link<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Access::Read, async move |link: Link<'_>| work(link).await.map(Ended::Commit)).await
    }

    /// Does something in a transaction, on the thread of the database.
    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl AsyncFnOnce(Link<'_>) -> Result<Ended<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |link| {
            Box::pin(async move {
                let done = match link {
                    Ok(link) => link.transact(work).await,
                    Err(error) => Err(error),
                };
                // Whoever asked may have gone; what was done is done.
                let _ = reply.send(done);
            })
        });
        match &self.0 {
            Database::Sqlite(sqlite) => sqlite.submit(access, job),
            Database::Postgres(postgres) => postgres.submit(access, job),
        }
        answer.await.unwrap_or_else(|_| Err(no_answer()))
    }
}

/// The migrations that tables of this version still need.
fn missing(migrations: &'static [&'static str], version: i64) -> Result<&'static [&'static str], StoreError> {
    let steps = usize::try_from(version).ok().and_then(|version| migrations.get(version..));
    steps.ok_or_else(|| {
        let known = migrations.len();
        StoreError::Unusable(format!(
            "its tables are of version {version}, made by a newer sidegate; this one knows versions up to {known}"
        ))
    })
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("it did not answer in time".to_owned())
}

/// Whether it can be a key in the storage: PostgreSQL has no NUL in texts.
fn is_storable(text: &str) -> bool {
    !text.contains('\0')
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}
