//! What changes storage. Each of these is part of a transaction, and begins with [`next_number`] if it has one.

use super::link::{Ended, Link, Value};
use super::rows::{self, client_columns, key_columns};
use super::{Action, Actor, RevokedToken, StoreError, StoredKey, TooManyRevoked, audit, read};
use crate::authority::client::Client;
use crate::core::time::UnixSeconds;

/// Where PostgreSQL tells of changes.
pub(super) const CHANNEL: &str = "sidegate_changes";

/// A change that is being made.
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) who: Actor,
    pub(super) action: Action,
    pub(super) at: UnixSeconds,
}

/// Takes the number of this change, and keeps other changes from taking theirs until this transaction is over.
///
/// A sequence of PostgreSQL would be wrong: it lets go of a number at once, so that 8 may be committed and read before 7, and
/// whoever reads on after 8 never learns of 7. The lock on the counter's row lasts to the commit; SQLite has one writer
/// anyway. A number whose transaction is rolled back is taken again by the next one.
pub(super) async fn next_number(link: Link<'_>) -> Result<u64, StoreError> {
    let rows = link.rows("UPDATE sidegate_state SET number = number + 1 RETURNING number", &[]).await?;
    if matches!(link, Link::Postgres(_)) {
        link.rows("SELECT pg_notify($1, '')", &[CHANNEL.into()]).await?;
    }
    let row = rows.first().ok_or_else(|| StoreError::Unusable("the table sidegate_state is empty".to_owned()))?;
    row.number(0)
}

/// Makes a client what it is `after` this change, if anything.
pub(super) async fn client<T>(
    link: Link<'_>,
    entry: &Entry,
    id: &str,
    before: Option<&Client>,
    after: Option<Client>,
    done: T,
) -> Result<Ended<T>, StoreError> {
    let after = match after {
        Some(after) if *after.id != *id => {
            return Err(StoreError::Unusable(format!("a change of client {id} cannot make it client {}", after.id)));
        }
        Some(after) => Some(Client { version: entry.number, ..after }),
        None if before.is_none() => return Ok(Ended::RollBack(done)),
        None => None,
    };
    match &after {
        Some(after) => put_client(link, after).await?,
        None => delete_client(link, entry, id).await?,
    }
    let [before, after] = [before, after.as_ref()].map(|client| client.map(audit::client));
    audit_row(link, entry, id, before, after).await?;
    Ok(Ended::Commit(done))
}

async fn put_client(link: Link<'_>, client: &Client) -> Result<(), StoreError> {
    // Of a client that is there, `last_used_at` is not written: `used` may have changed it since it was read.
    let sql = concat!(
        "INSERT INTO sidegate_clients (",
        client_columns!(),
        ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO UPDATE SET \
         name = excluded.name, description = excluded.description, notes = excluded.notes, scopes = excluded.scopes, \
         roles = excluded.roles, tenants = excluded.tenants, secrets = excluded.secrets, jwks = excluded.jwks, \
         is_revoked = excluded.is_revoked, created_at = excluded.created_at, expires_at = excluded.expires_at, \
         generation = excluded.generation, version = excluded.version"
    );
    link.rows(sql, &rows::client_values(client)?).await?;
    link.rows("DELETE FROM sidegate_deleted_clients WHERE id = $1", &[(&*client.id).into()]).await?;
    Ok(())
}

async fn delete_client(link: Link<'_>, entry: &Entry, id: &str) -> Result<(), StoreError> {
    link.rows("DELETE FROM sidegate_clients WHERE id = $1", &[id.into()]).await?;
    let sql = "INSERT INTO sidegate_deleted_clients (id, number) VALUES ($1, $2)";
    link.rows(sql, &[id.into(), entry.number.into()]).await?;
    Ok(())
}

/// Refuses a client of another issuer, or does not any more. Whether that changed anything.
pub(super) async fn refuse_foreign(
    link: Link<'_>,
    entry: &Entry,
    iss: &str,
    id: &str,
    is_refused: bool,
) -> Result<Ended<bool>, StoreError> {
    let was_refused = read::is_refused_foreign(link, iss, id).await?;
    if was_refused == is_refused {
        return Ok(Ended::RollBack(false));
    }
    // The row stays when it is not refused any more: whoever follows the changes has to learn of it.
    let sql = "INSERT INTO sidegate_foreign_clients (iss, id, is_refused, number) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (iss, id) DO UPDATE SET is_refused = excluded.is_refused, number = excluded.number";
    link.rows(sql, &[iss.into(), id.into(), is_refused.into(), entry.number.into()]).await?;
    let [before, after] = [was_refused, is_refused].map(|is| Some(format!(r#"{{"is_refused":{is}}}"#).into()));
    audit_row(link, entry, &format!("{iss} {id}"), before, after).await?;
    Ok(Ended::Commit(true))
}

/// Revokes a token, unless its client has revoked `live_max` others. One that is revoked already is left alone, so that
/// nobody can make the audit log grow by asking again.
pub(super) async fn revoke_token(
    link: Link<'_>,
    entry: &Entry,
    token: &RevokedToken,
    live_max: u64,
) -> Result<Ended<Result<(), TooManyRevoked>>, StoreError> {
    let RevokedToken { client_id, jti, expires } = token;
    if read::is_token_revoked(link, jti).await? {
        return Ok(Ended::RollBack(Ok(())));
    }
    link.rows("DELETE FROM sidegate_revoked_tokens WHERE expires_at <= $1", &[entry.at.0.into()]).await?;
    let (live, until) = read::revocations_of(link, client_id).await?;
    if live >= live_max {
        return Ok(Ended::RollBack(Err(TooManyRevoked { until: until.unwrap_or(entry.at) })));
    }
    let sql = "INSERT INTO sidegate_revoked_tokens (jti, client_id, expires_at, number) VALUES ($1, $2, $3, $4)";
    link.rows(sql, &[(&**jti).into(), (&**client_id).into(), expires.0.into(), entry.number.into()]).await?;
    let after = format!(r#"{{"expires_at":{}}}"#, expires.0);
    audit_row(link, entry, jti, None, Some(after.into())).await?;
    Ok(Ended::Commit(Ok(())))
}

/// Replaces the signing keys.
pub(super) async fn keys(
    link: Link<'_>,
    entry: &Entry,
    before: &[StoredKey],
    after: &[StoredKey],
) -> Result<(), StoreError> {
    link.rows("DELETE FROM sidegate_keys", &[]).await?;
    let sql = concat!("INSERT INTO sidegate_keys (", key_columns!(), ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
    for key in after {
        link.rows(sql, &rows::key_values(key)).await?;
    }
    link.rows("UPDATE sidegate_state SET keys_number = $1", &[entry.number.into()]).await?;
    let subject = audit::changed_keys(before, after);
    audit_row(link, entry, &subject, Some(audit::keys(before)), Some(audit::keys(after))).await
}

/// Notes when clients last got a token.
pub(super) async fn used(link: Link<'_>, mut clients: Vec<(Box<str>, UnixSeconds)>) -> Result<(), StoreError> {
    // In one order, so that two of these at a time do not wait for each other.
    clients.sort_unstable();
    let sql = "UPDATE sidegate_clients SET last_used_at = $1 \
               WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)";
    for (id, at) in clients {
        link.rows(sql, &[at.0.into(), (&*id).into()]).await?;
    }
    Ok(())
}

async fn audit_row(
    link: Link<'_>,
    entry: &Entry,
    subject: &str,
    before: Option<Box<str>>,
    after: Option<Box<str>>,
) -> Result<(), StoreError> {
    let Entry { number, who, action, at } = entry;
    let sql = "INSERT INTO sidegate_audit (number, made_at, who, action, subject, state_before, state_after) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let values = [
        Value::from(*number),
        at.0.into(),
        (&*who.0).into(),
        action.name().into(),
        subject.into(),
        before.as_deref().into(),
        after.as_deref().into(),
    ];
    link.rows(sql, &values).await.map(|_| ())
}
