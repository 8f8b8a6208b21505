//! What storage is asked.

use std::sync::Arc;

use super::link::{Link, Value};
use super::rows::{self, client_columns, key_columns};
use super::{Actor, AuditRow, Changes, Page, StoreError, StoredKey};
use crate::authority::client::Client;
use crate::core::registry::Change;
use crate::core::time::UnixSeconds;

pub(super) async fn number(link: Link<'_>) -> Result<u64, StoreError> {
    state(link).await.map(|(number, _)| number)
}

async fn state(link: Link<'_>) -> Result<(u64, u64), StoreError> {
    let rows = link.rows("SELECT number, keys_number FROM sidegate_state", &[]).await?;
    let row = rows.first().ok_or_else(|| StoreError::Unusable("the table sidegate_state is empty".to_owned()))?;
    Ok((row.number(0)?, row.number(1)?))
}

pub(super) async fn client(link: Link<'_>, id: &str) -> Result<Option<Client>, StoreError> {
    let sql = concat!("SELECT ", client_columns!(), " FROM sidegate_clients WHERE id = $1");
    link.rows(sql, &[id.into()]).await?.first().map(rows::client).transpose()
}

pub(super) async fn clients(link: Link<'_>, page: &Page) -> Result<Vec<Client>, StoreError> {
    let after = Value::from(page.after.as_deref().unwrap_or_default());
    let limit = Value::from(u64::try_from(page.limit).unwrap_or(u64::MAX));
    let found = match &page.within_tenants {
        None => {
            let sql =
                concat!("SELECT ", client_columns!(), " FROM sidegate_clients WHERE id > $1 ORDER BY id LIMIT $2");
            link.rows(sql, &[after, limit]).await?
        }
        Some(tenants) => link.rows(within_tenants(link), &[after, rows::list(tenants)?, limit]).await?,
    };
    found.iter().map(rows::client).collect()
}

fn within_tenants(link: Link<'_>) -> &'static str {
    match link {
        Link::Sqlite(_) => concat!(
            "SELECT ",
            client_columns!(),
            " FROM sidegate_clients WHERE id > $1 AND tenants <> '[]' AND NOT EXISTS (SELECT 1 FROM json_each(tenants) \
             WHERE value NOT IN (SELECT value FROM json_each($2))) ORDER BY id LIMIT $3"
        ),
        Link::Postgres(_) => concat!(
            "SELECT ",
            client_columns!(),
            " FROM sidegate_clients WHERE id > $1 AND tenants <> '[]' AND tenants::jsonb <@ $2::jsonb \
             ORDER BY id LIMIT $3"
        ),
    }
}

pub(super) async fn refused_foreign(link: Link<'_>) -> Result<Vec<(Box<str>, Box<str>)>, StoreError> {
    let sql = "SELECT iss, id, is_refused FROM sidegate_foreign_clients ORDER BY iss, id";
    let mut refused = Vec::new();
    for row in link.rows(sql, &[]).await? {
        if row.flag(2)? {
            refused.push((row.text(0)?, row.text(1)?));
        }
    }
    Ok(refused)
}

pub(super) async fn is_refused_foreign(link: Link<'_>, iss: &str, id: &str) -> Result<bool, StoreError> {
    let sql = "SELECT is_refused FROM sidegate_foreign_clients WHERE iss = $1 AND id = $2";
    link.rows(sql, &[iss.into(), id.into()]).await?.first().map_or(Ok(false), |row| row.flag(0))
}

pub(super) async fn is_token_revoked(link: Link<'_>, jti: &str) -> Result<bool, StoreError> {
    let sql = "SELECT number FROM sidegate_revoked_tokens WHERE jti = $1";
    link.rows(sql, &[jti.into()]).await.map(|rows| !rows.is_empty())
}

/// How many tokens of a client are revoked, and when the first of them expires.
pub(super) async fn revocations_of(link: Link<'_>, client_id: &str) -> Result<(u64, Option<UnixSeconds>), StoreError> {
    let sql = "SELECT count(*), min(expires_at) FROM sidegate_revoked_tokens WHERE client_id = $1";
    let rows = link.rows(sql, &[client_id.into()]).await?;
    let Some(row) = rows.first() else { return Ok((0, None)) };
    Ok((row.number(0)?, row.optional_int(1)?.map(UnixSeconds)))
}

pub(super) async fn keys(link: Link<'_>) -> Result<Vec<StoredKey>, StoreError> {
    let sql = concat!("SELECT ", key_columns!(), " FROM sidegate_keys ORDER BY created_at, key_id");
    link.rows(sql, &[]).await?.iter().map(rows::key).collect()
}

/// All that is said of one moment: the transaction sees none of what others change meanwhile.
pub(super) async fn changes(link: Link<'_>, after: u64) -> Result<Changes, StoreError> {
    let (number, keys_number) = state(link).await?;
    let mut items = changed_clients(link, after).await?;
    items.extend(deleted_clients(link, after).await?);
    items.extend(foreign_clients(link, after).await?);
    items.extend(revoked_tokens(link, after).await?);
    items.sort_unstable_by_key(|(number, _)| *number);
    Ok(Changes { number, keys_number, items })
}

async fn changed_clients(link: Link<'_>, after: u64) -> Result<Vec<(u64, Change)>, StoreError> {
    let sql = concat!("SELECT ", client_columns!(), " FROM sidegate_clients WHERE version > $1");
    let rows = link.rows(sql, &[after.into()]).await?;
    let items = rows.iter().map(|row| {
        let client = rows::client(row)?;
        let now = Arc::new(client.registered());
        Ok((client.version, Change::Client { id: client.id, now }))
    });
    items.collect()
}

/// After 0 as well: whoever begins there tells others, who know some of these clients.
async fn deleted_clients(link: Link<'_>, after: u64) -> Result<Vec<(u64, Change)>, StoreError> {
    let sql = "SELECT number, id FROM sidegate_deleted_clients WHERE number > $1";
    let rows = link.rows(sql, &[after.into()]).await?;
    rows.iter().map(|row| Ok((row.number(0)?, Change::Deleted { id: row.text(1)? }))).collect()
}

async fn foreign_clients(link: Link<'_>, after: u64) -> Result<Vec<(u64, Change)>, StoreError> {
    let sql = "SELECT number, iss, id, is_refused FROM sidegate_foreign_clients WHERE number > $1";
    let rows = link.rows(sql, &[after.into()]).await?;
    let items = rows.iter().map(|row| {
        Ok((row.number(0)?, Change::Foreign { iss: row.text(1)?, id: row.text(2)?, is_refused: row.flag(3)? }))
    });
    items.collect()
}

async fn revoked_tokens(link: Link<'_>, after: u64) -> Result<Vec<(u64, Change)>, StoreError> {
    let sql = "SELECT number, jti, expires_at FROM sidegate_revoked_tokens WHERE number > $1";
    let rows = link.rows(sql, &[after.into()]).await?;
    let items = rows
        .iter()
        .map(|row| Ok((row.number(0)?, Change::Token { jti: row.text(1)?, expires: UnixSeconds(row.int(2)?) })));
    items.collect()
}

pub(super) async fn audit(link: Link<'_>, after: u64, limit: usize) -> Result<Vec<AuditRow>, StoreError> {
    let sql = "SELECT number, made_at, who, action, subject, state_before, state_after FROM sidegate_audit \
               WHERE number > $1 ORDER BY number LIMIT $2";
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let rows = link.rows(sql, &[after.into(), limit.into()]).await?;
    let rows = rows.iter().map(|row| {
        Ok(AuditRow {
            number: row.number(0)?,
            at: UnixSeconds(row.int(1)?),
            who: Actor(row.text(2)?),
            action: row.text(3)?,
            subject: row.text(4)?,
            before: row.optional_text(5)?,
            after: row.optional_text(6)?,
        })
    });
    rows.collect()
}
