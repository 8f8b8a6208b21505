//! Revocation (RFC 7009): a client gives back one of its own tokens.

use bytes::Bytes;
use http::Response;

use super::answer;
use super::credentials::ClientCredentials;
use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::rotation::LEEWAY_SECONDS;
use super::service::{Call, Service};

/// `token_type_hint` is not looked at: there is one type of token.
pub(super) async fn answer(service: &Service, call: &Call) -> Result<Response<Bytes>, OAuthError> {
    let form = Form::read(&call.form_request())?;
    let credentials = ClientCredentials::read(&call.headers, &form)?;
    let token = form.get("token").ok_or_else(|| OAuthError::request("token is missing"))?;
    let client = service.authenticate(&credentials, call).await?;
    // What is no token of ours is no error: whatever the client wanted is so (RFC 7009 section 2.2).
    let Some(token) = service.own_token(token, call).filter(|token| call.now < token.expires.plus(LEEWAY_SECONDS))
    else {
        return Ok(answer::empty());
    };
    if token.client_id != client.id {
        // Section 2.1: the request is refused and the client told so. The code is the one that RFC 6749 section 5.2 has for
        // what was issued to another client.
        return Err(OAuthError::new(ErrorCode::InvalidGrant, "the token was issued to another client"));
    }
    service.revoke_token(&token, call.now).await?;
    Ok(answer::empty())
}
