//! What goes in and out, as JSON. The OpenAPI document describes these types.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::authority::client::{self, StoredSecret};
use crate::authority::manage::Outcome;
use crate::authority::secret::ClientSecret;
use crate::authority::store::AuditRow;
use crate::authority::view::rfc3339;
use crate::core::time::UnixSeconds;

/// An App Client.
#[derive(Serialize, ToSchema)]
#[schema(as = Client)]
pub(super) struct ClientDocument<'c> {
    /// Its id; never changes.
    client_id: &'c str,
    /// A secret that was just made: it is told in this answer and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'c str>,
    /// Its name.
    name: &'c str,
    /// What it is for.
    description: &'c str,
    /// Whatever its keepers want to remember.
    notes: &'c str,
    /// Its own scopes, without `authority.scope_prefix`.
    #[schema(value_type = Vec<String>)]
    scopes: &'c [Box<str>],
    /// Its roles.
    #[schema(value_type = Vec<String>)]
    roles: &'c [Box<str>],
    /// Its tenants.
    #[schema(value_type = Vec<String>)]
    tenants: &'c [Box<str>],
    /// Its public keys (RFC 7517), if it signs its requests (RFC 7523).
    #[schema(value_type = Option<Object>)]
    jwks: Option<Value>,
    /// Its live secrets: when they were made, and when they end.
    secrets: Vec<SecretDocument>,
    /// `active`, `revoked` or `expired`.
    status: &'static str,
    /// When it was created (RFC 3339).
    #[schema(format = DateTime)]
    created_at: String,
    /// The first second at which it is expired.
    #[schema(format = DateTime)]
    expires_at: String,
    /// When it last got a token, to within a minute.
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    /// Number of its last change. In quotes it is the `ETag`, for `If-Match`.
    version: u64,
}

/// A live secret, of which only a hash is kept.
#[derive(Serialize, ToSchema)]
#[schema(as = Secret)]
pub(super) struct SecretDocument {
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// The first second at which it does not count any more; null for the one that is not being replaced.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// Some clients, by id.
#[derive(Serialize, ToSchema)]
pub(super) struct ClientPage<'c> {
    /// The clients.
    #[schema(value_type = Vec<ClientDocument<'static>>)]
    pub(super) clients: Vec<ClientDocument<'c>>,
    /// `after` of the next page; null for none.
    pub(super) next: Option<&'c str>,
}

/// An App Client that is to be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewClient {
    /// Its id; a random one if left out. `authority.client_id_prefix` is put before it unless it is there.
    pub(super) client_id: Option<String>,
    /// Its name: 1 to 128 characters.
    pub(super) name: String,
    /// What it is for: at most 1024 bytes.
    #[serde(default)]
    pub(super) description: String,
    /// Whatever its keepers want to remember: at most 4096 bytes.
    #[serde(default)]
    pub(super) notes: String,
    /// Scopes of the catalogue. There has to be one, or a role.
    #[serde(default)]
    pub(super) scopes: Vec<String>,
    /// Roles of the configuration.
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// Tenants. Whoever is held to tenants himself has to give it one of them.
    #[serde(default)]
    pub(super) tenants: Vec<String>,
    /// The last day (UTC), such as 2027-12-31, or a time (RFC 3339); a year from now if left out.
    pub(super) expires_at: Option<String>,
    /// Its public keys (a JSON Web Key Set): it signs its requests (RFC 7523), and gets no secret.
    #[schema(value_type = Option<Object>)]
    pub(super) jwks: Option<Value>,
    /// Whether it gets a secret beside its keys.
    #[serde(default)]
    pub(super) with_secret: bool,
}

/// What is to be different about a client: a merge patch (RFC 7396). A list replaces the one that is there; null empties it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientPatch {
    /// Its name: 1 to 128 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(super) name: Option<Option<String>>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(super) description: Option<Option<String>>,
    /// Whatever its keepers want to remember.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    pub(super) notes: Option<Option<String>>,
    /// Scopes of the catalogue.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) scopes: Option<Option<Vec<String>>>,
    /// Roles of the configuration.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) roles: Option<Option<Vec<String>>>,
    /// Tenants.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>)]
    pub(super) tenants: Option<Option<Vec<String>>>,
    /// Its public keys; a key set replaces the one that is there whole.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    pub(super) jwks: Option<Option<Value>>,
    /// Null ends its secrets at once: it has keys, and goes on by them alone. A new one is made by `rotate-secret`.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Object>)]
    pub(super) secrets: Option<()>,
}

/// A new expiry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Renewal {
    /// The last day (UTC), such as 2027-12-31, or a time (RFC 3339); a year from now if left out.
    pub(super) expires_at: Option<String>,
}

/// A new secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotation {
    /// For how long the old secret stays live, such as `1h` or `7d`; `24h` if left out. `0s` ends it, and any other, at once.
    pub(super) keep_old: Option<String>,
}

/// Nothing more is to be said.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A client of another issuer. Nobody here knows whether there is one.
#[derive(Serialize, ToSchema)]
#[schema(as = ForeignClient)]
pub(super) struct ForeignDocument<'c> {
    /// The issuer's name in the configuration.
    pub(super) issuer: &'c str,
    /// The client's id there.
    pub(super) client_id: &'c str,
    /// Whether its tokens are refused.
    pub(super) is_revoked: bool,
    /// Whether that was otherwise before.
    pub(super) is_changed: bool,
}

/// Some of the audit log, oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditPage {
    /// The changes.
    pub(super) entries: Vec<AuditEntry>,
    /// `after` of the next page; null for none as yet.
    pub(super) next: Option<u64>,
}

/// A change.
#[derive(Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// Its number.
    number: u64,
    /// When it was made (RFC 3339).
    #[schema(format = DateTime)]
    at: String,
    /// Who made it: `client:ID`, `cli:USER`, or `authority` itself.
    who: String,
    /// What was done.
    action: String,
    /// To what: a client id, `ISS CLIENT_ID`, a `jti` or a `kid`.
    subject: String,
    /// What it was before, without secrets.
    before: Option<Value>,
    /// What it is now, likewise.
    after: Option<Value>,
}

impl<'c> ClientDocument<'c> {
    pub(super) fn new(client: &'c client::Client, secret: Option<&'c ClientSecret>, now: UnixSeconds) -> Self {
        let live = client.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|expires| now < expires));
        Self {
            client_id: &client.id,
            client_secret: secret.map(ClientSecret::reveal),
            name: &client.name,
            description: &client.description,
            notes: &client.notes,
            scopes: &client.scopes,
            roles: &client.roles,
            tenants: &client.tenants,
            jwks: client.jwks.as_deref().and_then(|jwks| serde_json::from_str(jwks).ok()),
            secrets: live.map(SecretDocument::new).collect(),
            status: client.status(now).name(),
            created_at: rfc3339(client.created_at),
            expires_at: rfc3339(client.expires_at),
            last_used_at: client.last_used_at.map(rfc3339),
            version: client.version,
        }
    }

    pub(super) fn after(outcome: &'c Outcome, now: UnixSeconds) -> Self {
        Self::new(&outcome.client, outcome.secret.as_ref(), now)
    }
}

impl SecretDocument {
    fn new(secret: &StoredSecret) -> Self {
        Self { created_at: rfc3339(secret.created_at), expires_at: secret.expires_at.map(rfc3339) }
    }
}

impl AuditEntry {
    pub(super) fn new(row: AuditRow) -> Self {
        let AuditRow { number, at, who, action, subject, before, after } = row;
        let json = |text: Option<Box<str>>| text.and_then(|text| serde_json::from_str(&text).ok());
        Self {
            number,
            at: rfc3339(at),
            who: who.0.into(),
            action: action.into(),
            subject: subject.into(),
            before: json(before),
            after: json(after),
        }
    }
}

/// A member that is there, be it null: in a merge patch that is something else than one that is not.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
