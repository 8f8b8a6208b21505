//! The token endpoint (RFC 6749 section 4.4).

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::answer;
use super::error::OAuthError;
use super::grant::{Grant, TokenRequest};
use super::mint::{self, Issued};
use super::service::{Call, Service};

pub(super) async fn answer(service: &Service, call: &Call) -> Result<Response<Bytes>, OAuthError> {
    let TokenRequest { credentials, scopes, resources } = TokenRequest::read(&call.form_request())?;
    let client = service.authenticate(&credentials, call).await?;
    let grant = Grant::new(&client, scopes.as_ref(), &resources, &call.settings, &call.roles)?;
    let keyring = service.keyring();
    let issued = mint::issue(&keyring.signer, &call.settings, &client, &grant, call.now).map_err(|error| {
        tracing::error!(%error, "no token could be signed");
        OAuthError::unavailable()
    })?;
    service.known_here(client.version).await;
    service.note_used(&client.id, call.now);
    Ok(success(&issued))
}

/// RFC 6749 section 5.1.
fn success(issued: &Issued) -> Response<Bytes> {
    let Issued { token, expires_in_seconds, scope } = issued;
    let mut body = json!({ "access_token": token, "token_type": "Bearer", "expires_in": expires_in_seconds });
    if !scope.is_empty() {
        body.as_object_mut().map(|body| body.insert("scope".to_owned(), json!(scope)));
    }
    answer::json(StatusCode::OK, &body)
}
