//! Answers of the authority's endpoints.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::error::{ErrorCode, OAuthError};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How long public documents may be kept.
const DOCUMENT_CACHE: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// An answer that nobody may keep (RFC 6749 section 5.1).
pub(super) fn json(status: StatusCode, body: &Value) -> Response<Bytes> {
    private(status, Bytes::from(body.to_string()))
}

/// The answer to a revocation (RFC 7009 section 2.2).
pub(super) fn empty() -> Response<Bytes> {
    let mut answer = private(StatusCode::OK, Bytes::new());
    answer.headers_mut().remove(CONTENT_TYPE);
    answer
}

/// A document that anybody may read. The answer to HEAD is the same: what writes it leaves the body out.
pub(super) fn document(body: Vec<u8>) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    answer.headers_mut().insert(CACHE_CONTROL, DOCUMENT_CACHE);
    answer
}

/// An error (RFC 6749 section 5.2).
#[must_use]
pub fn error(error: OAuthError) -> Response<Bytes> {
    let (code, description) = (error.code, error.description);
    let mut answer = json(code.status(), &json!({ "error": code.name(), "error_description": description }));
    let mut add = |name: HeaderName, value| answer.headers_mut().insert(name, value);
    match code {
        ErrorCode::MethodNotAllowed(allow) => add(ALLOW, HeaderValue::from_static(allow)),
        // Also where the client has not tried Basic: a 401 has to have a challenge (RFC 9110 section 15.5.2).
        ErrorCode::InvalidClient => add(WWW_AUTHENTICATE, HeaderValue::from_static(r#"Basic realm="sidegate""#)),
        _ => None,
    };
    if let Some(seconds) = code.retry_after_seconds() {
        add(RETRY_AFTER, seconds.into());
    }
    answer.extensions_mut().insert(error.refused());
    answer
}

fn private(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}
