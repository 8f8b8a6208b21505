//! Tokens: what they say (RFC 9068 section 2.2), and their signature.

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::grant::Grant;
use super::signer::{KeyError, Signer};
use crate::config::authority::Authority;
use crate::core::time::UnixSeconds;

/// `typ` of the tokens' header (RFC 9068 section 2.1).
pub const TOKEN_TYPE: &str = "at+jwt";

const JTI_BYTES: usize = 16;

/// A token that was just made, as its client gets it. Has no `Debug`.
pub struct Issued {
    /// The token.
    pub token: String,
    /// How long it is valid.
    pub expires_in_seconds: i64,
    /// What was granted, as on the wire; empty for no scope.
    pub scope: String,
}

/// Makes a token. It does not outlive its client.
///
/// # Errors
/// There is no randomness.
pub fn issue(
    signer: &Signer,
    settings: &Authority,
    client: &Client,
    grant: &Grant,
    now: UnixSeconds,
) -> Result<Issued, KeyError> {
    let lifetime = i64::try_from(settings.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let expires = now.plus(lifetime).min(client.expires_at);
    let scope = scope(&grant.scopes, settings);
    let claims = claims(settings, client, grant, &scope, (now, expires))?;
    Ok(Issued { token: signer.sign(TOKEN_TYPE, &claims)?, expires_in_seconds: expires.0 - now.0, scope })
}

/// Scopes as they stand in tokens: with the authority's prefix, parted by spaces.
#[must_use]
pub fn scope<S: AsRef<str>>(scopes: &[S], settings: &Authority) -> String {
    let prefixed: Vec<String> =
        scopes.iter().map(|scope| format!("{}{}", settings.scope_prefix, scope.as_ref())).collect();
    prefixed.join(" ")
}

/// A string for one, an array for several, nothing for none.
#[must_use]
pub fn one_or_many<S: AsRef<str>>(values: &[S]) -> Option<Value> {
    match values {
        [] => None,
        [only] => Some(only.as_ref().into()),
        several => Some(several.iter().map(|value| value.as_ref()).collect()),
    }
}

fn claims(
    settings: &Authority,
    client: &Client,
    grant: &Grant,
    scope: &str,
    (now, expires): (UnixSeconds, UnixSeconds),
) -> Result<Value, KeyError> {
    let roles: Vec<&str> = grant.roles.iter().map(|role| &**role).collect();
    let optional = [
        ("aud", one_or_many(&grant.audiences)),
        ("scope", (!scope.is_empty()).then(|| scope.into())),
        ("roles", (!roles.is_empty()).then(|| roles.into())),
        ("tenant_id", one_or_many(&client.tenants)),
    ];
    let always = [
        ("iss", json!(settings.issuer)),
        ("sub", json!(client.id)),
        ("client_id", json!(client.id)),
        ("exp", json!(expires.0)),
        ("iat", json!(now.0)),
        ("jti", json!(random_id()?)),
        ("gen", json!(client.generation)),
    ];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let claims: Map<String, Value> =
        always.into_iter().chain(optional).map(|(name, value)| (name.to_owned(), value)).collect();
    Ok(Value::Object(claims))
}

/// 128 random bits.
fn random_id() -> Result<String, KeyError> {
    let mut bytes = [0; JTI_BYTES];
    rand::fill(&mut bytes).map_err(|_| KeyError::Unusable)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
