//! The authority's storage: one suite over both kinds.
//!
//! Each test is a function of a [`Place`] and runs for SQLite and for PostgreSQL.

mod changes;
mod feed;
mod lists;
mod losses;
mod postgres;
mod sqlite;

use std::sync::LazyLock;

use sidegate::authority::client::{Client, StoredSecret};
use sidegate::authority::secret::SecretHash;
use sidegate::authority::store::{Action, Actor, ChangeError, RevokedToken, Store, StoreError, TooManyRevoked};
use sidegate::config::authority::Storage;
use sidegate::core::time::UnixSeconds;
use tempfile::TempDir;

use crate::harness::postgres::PostgresServer;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// A storage that stores can be opened on.
enum Place {
    Sqlite(TempDir),
    Postgres(PostgresServer),
}

impl Place {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn postgres() -> Self {
        Self::Postgres(PostgresServer::start())
    }

    fn storage(&self) -> Storage {
        match self {
            Self::Sqlite(directory) => Storage::Sqlite(directory.path().join("sidegate.db")),
            Self::Postgres(server) => Storage::Postgres(server.settings()),
        }
    }

    async fn open(&self) -> Store {
        Store::open(&self.storage()).await.unwrap()
    }
}

/// Makes of each function one test for SQLite and one for PostgreSQL.
macro_rules! on_both {
    ($($name:ident;)*) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(&crate::store::Place::sqlite()).await; })*
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(&crate::store::Place::postgres()).await; })*
        }
    };
}
use on_both;

fn who() -> &'static Actor {
    static WHO: LazyLock<Actor> = LazyLock::new(|| Actor("cli:tester".into()));
    &WHO
}

fn texts(list: &[&str]) -> Box<[Box<str>]> {
    list.iter().map(|text| Box::from(*text)).collect()
}

fn client(id: &str, generation: u64) -> Client {
    let secret = StoredSecret { hash: SecretHash::of("sgs_secret"), created_at: NOW, expires_at: Some(NOW.plus(60)) };
    Client {
        id: id.into(),
        name: "Näme '\"; DROP TABLE".into(),
        description: "what it is for".into(),
        notes: "a\nb\u{1F600}".into(),
        scopes: texts(&["users:read", "users:write"]),
        roles: texts(&["reader"]),
        tenants: texts(&["acme"]),
        secrets: vec![secret.clone(), StoredSecret { expires_at: None, ..secret }],
        jwks: Some(r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"public","d":"private-part"}]}"#.into()),
        is_revoked: false,
        created_at: NOW,
        expires_at: NOW.plus(1000),
        last_used_at: None,
        generation,
        version: 0,
    }
}

/// Creates a client; its number.
async fn create(store: &Store, id: &str) -> u64 {
    try_create(store, id).await.unwrap()
}

async fn try_create(store: &Store, id: &str) -> Result<u64, StoreError> {
    let name = id.to_owned();
    let made = store.change(who(), Action::Create, id, NOW, move |_, number| {
        Ok::<_, String>((Some(client(&name, number)), number))
    });
    made.await.map_err(stored)
}

/// Edits a client; the number of the change.
async fn edit(store: &Store, id: &str, notes: &str) -> u64 {
    let notes: Box<str> = notes.into();
    let edited = store.change(who(), Action::Edit, id, NOW, move |client, number| {
        let client = client.ok_or("there is no such client")?;
        Ok::<_, &str>((Some(Client { notes, ..client }), number))
    });
    edited.await.unwrap()
}

/// Deletes a client; the number of the change.
async fn delete(store: &Store, id: &str) -> u64 {
    let deleted = store.change(who(), Action::Delete, id, NOW, |_, number| Ok::<_, String>((None, number)));
    deleted.await.unwrap()
}

/// Revokes a token of client `a` that expires so many seconds from [`NOW`].
async fn revoke(
    store: &Store,
    who: &Actor,
    jti: &str,
    expires: i64,
    now: UnixSeconds,
) -> Result<(), ChangeError<TooManyRevoked>> {
    let token = RevokedToken { client_id: "a".into(), jti: jti.into(), expires: NOW.plus(expires) };
    store.revoke_token(who, token, u64::MAX, now).await
}

fn stored<D: std::fmt::Display>(error: ChangeError<D>) -> StoreError {
    match error {
        ChangeError::Store(error) => error,
        ChangeError::Denied(denied) => panic!("{denied}"),
    }
}
