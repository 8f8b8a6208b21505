//! Clients and keys as rows. Lists and secrets are JSON in one column: nobody asks for a part of them but by tenant.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::link::{Row, Value};
use super::{KeyPhase, StoreError, StoredKey};
use crate::authority::client::{Client, StoredSecret};
use crate::authority::secret::SecretHash;
use crate::core::algorithm::Algorithm;
use crate::core::time::UnixSeconds;

/// The columns of a client, in the order of [`client`] and [`client_values`].
macro_rules! client_columns {
    () => {
        "id, name, description, notes, scopes, roles, tenants, secrets, jwks, is_revoked, created_at, expires_at, \
         last_used_at, generation, version"
    };
}
pub(super) use client_columns;

/// The columns of a key, in the order of [`key`] and [`key_values`].
macro_rules! key_columns {
    () => {
        "key_id, algorithm, phase, created_at, phase_since, token_seconds, private, is_sealed, public_jwk"
    };
}
pub(super) use key_columns;

#[derive(Serialize, Deserialize)]
struct SecretRow {
    hash: String,
    created_at: i64,
    expires_at: Option<i64>,
}

/// The client of a row.
pub(super) fn client(row: &Row) -> Result<Client, StoreError> {
    let id = row.text(0)?;
    let secrets: Vec<SecretRow> = from_json(&row.text(7)?, &id, "secrets")?;
    Ok(Client {
        name: row.text(1)?,
        description: row.text(2)?,
        notes: row.text(3)?,
        scopes: from_json(&row.text(4)?, &id, "scopes")?,
        roles: from_json(&row.text(5)?, &id, "roles")?,
        tenants: from_json(&row.text(6)?, &id, "tenants")?,
        secrets: secrets.iter().map(|secret| secret_of(secret, &id)).collect::<Result<_, _>>()?,
        jwks: row.optional_text(8)?,
        is_revoked: row.flag(9)?,
        created_at: UnixSeconds(row.int(10)?),
        expires_at: UnixSeconds(row.int(11)?),
        last_used_at: row.optional_int(12)?.map(UnixSeconds),
        generation: row.number(13)?,
        version: row.number(14)?,
        id,
    })
}

/// The row of a client.
pub(super) fn client_values(client: &Client) -> Result<[Value; 15], StoreError> {
    let Client { id, name, description, notes, scopes, roles, tenants, secrets, jwks, .. } = client;
    let Client { is_revoked, created_at, expires_at, last_used_at, generation, version, .. } = client;
    let secrets: Vec<SecretRow> = secrets.iter().map(secret_row).collect();
    Ok([
        (&**id).into(),
        (&**name).into(),
        (&**description).into(),
        (&**notes).into(),
        list(scopes)?,
        list(roles)?,
        list(tenants)?,
        json(&secrets)?,
        jwks.as_deref().into(),
        (*is_revoked).into(),
        created_at.0.into(),
        expires_at.0.into(),
        last_used_at.map(|at| at.0).into(),
        (*generation).into(),
        (*version).into(),
    ])
}

/// The key of a row.
pub(super) fn key(row: &Row) -> Result<StoredKey, StoreError> {
    let key_id = row.text(0)?;
    let wrong = |what: &str| StoreError::Unusable(format!("signing key {key_id}: its {what} is not known here"));
    Ok(StoredKey {
        algorithm: Algorithm::from_name(&row.text(1)?).ok_or_else(|| wrong("algorithm"))?,
        phase: KeyPhase::from_name(&row.text(2)?).ok_or_else(|| wrong("phase"))?,
        created_at: UnixSeconds(row.int(3)?),
        phase_since: UnixSeconds(row.int(4)?),
        token_seconds: row.int(5)?,
        private: row.bytes(6)?,
        is_sealed: row.flag(7)?,
        public_jwk: row.text(8)?,
        key_id,
    })
}

/// The row of a key.
pub(super) fn key_values(key: &StoredKey) -> [Value; 9] {
    let StoredKey { key_id, algorithm, phase, created_at, phase_since, .. } = key;
    let StoredKey { token_seconds, private, is_sealed, public_jwk, .. } = key;
    [
        (&**key_id).into(),
        algorithm.name().into(),
        phase.name().into(),
        created_at.0.into(),
        phase_since.0.into(),
        (*token_seconds).into(),
        Value::Bytes(private.clone()),
        (*is_sealed).into(),
        (&**public_jwk).into(),
    ]
}

/// A list of texts, as a column holds it.
pub(super) fn list(texts: &[Box<str>]) -> Result<Value, StoreError> {
    // JSON would hide it, and PostgreSQL stumble over it whenever it looks into the list.
    if texts.iter().any(|text| text.contains('\0')) {
        return Err(StoreError::Unusable("a text with a NUL character cannot be stored".to_owned()));
    }
    json(&texts)
}

fn json(value: &impl Serialize) -> Result<Value, StoreError> {
    let text = serde_json::to_string(value).map_err(|error| StoreError::Unusable(error.to_string()))?;
    Ok(Value::Text(text.into()))
}

fn from_json<T: for<'a> Deserialize<'a>>(text: &str, id: &str, what: &str) -> Result<T, StoreError> {
    // What the parser says would show what is there.
    serde_json::from_str(text).map_err(|_| unreadable(id, what))
}

fn secret_row(secret: &StoredSecret) -> SecretRow {
    let StoredSecret { hash, created_at, expires_at } = secret;
    let hash = URL_SAFE_NO_PAD.encode(hash.0);
    SecretRow { hash, created_at: created_at.0, expires_at: expires_at.map(|at| at.0) }
}

fn secret_of(row: &SecretRow, id: &str) -> Result<StoredSecret, StoreError> {
    let hash = URL_SAFE_NO_PAD.decode(&row.hash).ok().and_then(|bytes| bytes.try_into().ok());
    Ok(StoredSecret {
        hash: SecretHash(hash.ok_or_else(|| unreadable(id, "secrets"))?),
        created_at: UnixSeconds(row.created_at),
        expires_at: row.expires_at.map(UnixSeconds),
    })
}

fn unreadable(id: &str, what: &str) -> StoreError {
    StoreError::Unusable(format!("client {id}: its {what} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_no_nul() {
        assert!(list(&["a".into()]).is_ok());
        assert!(list(&["a\0".into()]).is_err());
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        let error = from_json::<Vec<SecretRow>>(r#"[{"hash":7,"x":"topsecret"}]"#, "a", "secrets").err().unwrap();
        assert_eq!(error.to_string(), "the storage cannot be used: client a: its secrets cannot be read");
        let row = SecretRow { hash: "dG9vIHNob3J0".to_owned(), created_at: 0, expires_at: None };
        assert!(secret_of(&row, "a").is_err());
    }
}
