//! Introspection (RFC 7662): what one of our own tokens is worth now, for those who do not verify tokens themselves.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::answer;
use super::client::{Client, Status};
use super::credentials::ClientCredentials;
use super::error::OAuthError;
use super::form::Form;
use super::grant::effective_scopes;
use super::mint::{self, one_or_many};
use super::service::{Call, OwnToken, Service};
use crate::config::authority::Authority;
use crate::core::scope::Role;

pub(super) async fn answer(service: &Service, call: &Call) -> Result<Response<Bytes>, OAuthError> {
    let form = Form::read(&call.form_request())?;
    let credentials = ClientCredentials::read(&call.headers, &form)?;
    let token = form.get("token").ok_or_else(|| OAuthError::request("token is missing"))?;
    service.authenticate(&credentials, call).await?;
    let body = match active(service, call, token).await? {
        Some((token, client)) => describe(&token, &client, &call.settings, &call.roles),
        // Whatever the reason: it is nobody's business (RFC 7662 section 2.2).
        None => json!({ "active": false }),
    };
    Ok(answer::json(StatusCode::OK, &body))
}

/// A token and its client, if the token is worth anything.
async fn active(service: &Service, call: &Call, token: &str) -> Result<Option<(OwnToken, Client)>, OAuthError> {
    let Some(token) = service.own_token(token, call).filter(|token| call.now < token.expires) else { return Ok(None) };
    let client = service.client(&token.client_id).await?;
    let is_alive = |client: &Client| {
        let is_live = client.status(call.now) == Status::Active && client.generation == token.generation;
        is_live && !is_stripped(&token, client)
    };
    let Some(client) = client.filter(is_alive) else { return Ok(None) };
    Ok((!service.is_token_revoked(&token.jti).await?).then_some((token, client)))
}

/// Whether token or client is held to tenants, and they share none any more: such a token is nobody's, and not one for all.
fn is_stripped(token: &OwnToken, client: &Client) -> bool {
    let is_held = !token.tenants.is_empty() || !client.tenants.is_empty();
    is_held && !token.tenants.iter().any(|tenant| client.tenants.contains(tenant))
}

/// What the token says and its client still has.
fn describe(token: &OwnToken, client: &Client, settings: &Authority, roles: &HashMap<Box<str>, Role>) -> Value {
    let effective = effective_scopes(client, roles);
    let scopes = token.scope.split(' ').filter_map(|scope| scope.strip_prefix(&*settings.scope_prefix));
    let scopes: Vec<&str> = scopes.filter(|scope| effective.contains(scope)).collect();
    let tenants: Vec<&Box<str>> = token.tenants.iter().filter(|tenant| client.tenants.contains(tenant)).collect();
    let mut body = json!({
        "active": true,
        "client_id": token.client_id,
        "sub": token.client_id,
        "iss": settings.issuer,
        "aud": one_or_many(&token.audiences),
        "exp": token.expires.0,
        "iat": token.issued.0,
        "jti": token.jti,
        "token_type": "Bearer",
    });
    let scope = mint::scope(&scopes, settings);
    let optional = [("scope", (!scope.is_empty()).then(|| scope.into())), ("tenant_id", one_or_many(&tenants))];
    for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        body.as_object_mut().map(|body| body.insert(name.to_owned(), value));
    }
    body
}
