//! An App Client as people and programs see it.

use jiff::Timestamp;
use serde::Serialize;

use super::client::Client;
use super::secret::ClientSecret;
use crate::core::time::UnixSeconds;

/// A client in JSON. Only the answer to what made a secret has one.
#[derive(Serialize)]
pub struct View<'c> {
    /// Its id.
    pub client_id: &'c str,
    /// The secret that was just made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<&'c str>,
    /// Its name.
    pub name: &'c str,
    /// What it is for.
    pub description: &'c str,
    /// Whatever its keepers want to remember.
    pub notes: &'c str,
    /// Its own scopes.
    pub scopes: &'c [Box<str>],
    /// Its roles.
    pub roles: &'c [Box<str>],
    /// Its tenants.
    pub tenants: &'c [Box<str>],
    /// `active`, `revoked` or `expired`.
    pub status: &'static str,
    /// When it was created (RFC 3339).
    pub created_at: String,
    /// The first second at which it is expired.
    pub expires_at: String,
    /// When it last got a token, to within a minute.
    pub last_used_at: Option<String>,
}

impl<'c> View<'c> {
    /// The client as it is now, with a secret that was just made.
    #[must_use]
    pub fn new(client: &'c Client, secret: Option<&'c ClientSecret>, now: UnixSeconds) -> Self {
        Self {
            client_id: &client.id,
            client_secret: secret.map(ClientSecret::reveal),
            name: &client.name,
            description: &client.description,
            notes: &client.notes,
            scopes: &client.scopes,
            roles: &client.roles,
            tenants: &client.tenants,
            status: client.status(now).name(),
            created_at: rfc3339(client.created_at),
            expires_at: rfc3339(client.expires_at),
            last_used_at: client.last_used_at.map(rfc3339),
        }
    }
}

/// A time as text (RFC 3339), in UTC.
#[must_use]
pub fn rfc3339(time: UnixSeconds) -> String {
    Timestamp::from_second(time.0).unwrap_or(Timestamp::MAX).to_string()
}
