//! The audit log: who has done what, and when, and what it tells of a change: no secret, no hash of one, no private key.

use serde_json::{Map, Value, json};

use super::StoredKey;
use crate::authority::client::{Client, StoredSecret};
use crate::core::time::UnixSeconds;

/// Members of a JWK that are public (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2). A list of what may be told
/// instead of one of what may not: somebody may hand in a private key by mistake, with members that nobody here knows.
const PUBLIC_MEMBERS: &[&str] =
    &["kty", "use", "key_ops", "alg", "kid", "x5c", "x5t", "x5t#S256", "crv", "x", "y", "n", "e"];

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

impl Action {
    /// Its name in the audit log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Edit => "edit",
            Self::Renew => "renew",
            Self::RotateSecret => "rotate_secret",
            Self::Revoke => "revoke",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::RevokeToken => "revoke_token",
            Self::RotateKeys => "rotate_keys",
        }
    }
}

/// A client.
pub(super) fn client(client: &Client) -> Box<str> {
    let Client { id, name, description, notes, scopes, roles, tenants, secrets, jwks, .. } = client;
    let Client { is_revoked, created_at, expires_at, last_used_at: _, generation, version, .. } = client;
    let secrets: Vec<Value> = secrets.iter().map(secret).collect();
    let value = json!({
        "client_id": id,
        "name": name,
        "description": description,
        "notes": notes,
        "scopes": scopes,
        "roles": roles,
        "tenants": tenants,
        "secrets": secrets,
        "jwks": jwks.as_deref().map(public_keys),
        "is_revoked": is_revoked,
        "created_at": created_at.0,
        "expires_at": expires_at.0,
        "generation": generation,
        "version": version,
    });
    value.to_string().into()
}

/// Signing keys.
pub(super) fn keys(keys: &[StoredKey]) -> Box<str> {
    Value::from_iter(keys.iter().map(key)).to_string().into()
}

/// Ids of the keys that are not the same before and after.
pub(super) fn changed_keys(before: &[StoredKey], after: &[StoredKey]) -> Box<str> {
    let gone = before.iter().filter(|key| after.iter().all(|other| other.key_id != key.key_id));
    let new = after.iter().filter(|key| {
        let old = before.iter().find(|other| other.key_id == key.key_id);
        let what = |key: &StoredKey| (key.phase, key.is_sealed, key.token_seconds);
        old.is_none_or(|old| what(old) != what(key))
    });
    let ids: Vec<&str> = gone.chain(new).map(|key| &*key.key_id).collect();
    ids.join(" ").into()
}

fn key(key: &StoredKey) -> Value {
    let StoredKey { key_id, algorithm, phase, created_at, phase_since, .. } = key;
    let StoredKey { token_seconds, private: _, is_sealed, public_jwk: _, .. } = key;
    json!({
        "kid": key_id,
        "algorithm": algorithm.name(),
        "phase": phase.name(),
        "created_at": created_at.0,
        "phase_since": phase_since.0,
        "token_seconds": token_seconds,
        "is_sealed": is_sealed,
    })
}

fn secret(secret: &StoredSecret) -> Value {
    let StoredSecret { hash: _, created_at, expires_at } = secret;
    json!({ "created_at": created_at.0, "expires_at": expires_at.map(|at| at.0) })
}

fn public_keys(jwks: &str) -> Value {
    let jwks: Value = serde_json::from_str(jwks).unwrap_or_default();
    let keys = jwks.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    json!({ "keys": keys.iter().map(public_key).collect::<Vec<_>>() })
}

fn public_key(key: &Value) -> Map<String, Value> {
    let members = key.as_object().into_iter().flatten();
    let public = members.filter(|(name, _)| PUBLIC_MEMBERS.contains(&name.as_str()));
    public.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_private_key_only_the_public_part_is_told() {
        let jwks =
            r#"{"keys":[{"kty":"EC","crv":"P-256","x":"1","y":"2","d":"private","odd":"private"},7],"more":"private"}"#;
        assert_eq!(public_keys(jwks).to_string(), r#"{"keys":[{"crv":"P-256","kty":"EC","x":"1","y":"2"},{}]}"#);
        assert_eq!(public_keys("private").to_string(), r#"{"keys":[]}"#);
    }
}
