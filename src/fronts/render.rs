//! What a decision looks like outside: a rejection, or an answer of the gateway's own, as status, header fields and body.
//!
//! Nothing here decides. Every front writes its refusals with [`rejection`], so that they look the same wherever a
//! request came in. What a client is told is the reason's row in [`crate::core::rejection`] and nothing else: the detail
//! of a rejection goes to the log.

mod body;
mod challenge;
mod cors;
mod grpc;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Response, StatusCode};

use crate::core::decision::{OwnAnswer, Trace};
use crate::core::fields::X_REQUEST_ID;
use crate::core::rejection::{Answer, Rejection};
use crate::core::snapshot::{Requirement, Snapshot, TokenRequirement};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What an answer depends on besides the decision. It has no `Debug`: the header fields hold the token.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The method: an answer to `HEAD` has no body.
    pub method: &'a Method,
    /// The header fields: `Content-Type` tells gRPC, `Origin` is for CORS.
    pub headers: &'a HeaderMap,
    /// The request id, as it goes into the answer.
    pub request_id: &'a str,
}

/// A rejection and what was known when it was made.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// The rejection.
    pub rejection: &'a Rejection,
    /// How far the decision came.
    pub trace: &'a Trace,
    /// What the token was held to, where one was asked for.
    pub requirement: Option<&'a TokenRequirement>,
}

impl<'a> Refusal<'a> {
    /// A rejection of [`crate::core::decide`], or one that came after it: the requirement is that of the trace's route.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, rejection: &'a Rejection, trace: &'a Trace) -> Self {
        let route = trace.route.and_then(|id| snapshot.routes.get(id));
        let requirement = match route.map(|route| &route.requirement) {
            Some(Requirement::Token(requirement)) => Some(requirement),
            Some(Requirement::Public) | None => None,
        };
        Self { rejection, trace, requirement }
    }
}

/// The answer to a refused request.
#[must_use]
pub fn rejection(snapshot: &Snapshot, refusal: &Refusal<'_>, asked: &Asked<'_>) -> Response<Bytes> {
    let answer = refusal.rejection.reason.answer();
    let mut response = match grpc::answer_type(asked.headers) {
        Some(content_type) => grpc::trailers_only(&answer, content_type),
        None => refused(snapshot, refusal, &answer, asked),
    };
    let headers = response.headers_mut();
    if answer.challenge {
        headers.insert(WWW_AUTHENTICATE, challenge::value(snapshot, refusal, &answer));
    }
    if let Some(allow) = refusal.trace.allow.as_deref().filter(|_| answer.status == 405) {
        insert_text(headers, ALLOW, allow);
    }
    if let Some(seconds) = answer.retry_after_seconds {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // A refusal is about one token at one moment. Without this, caches may keep a 404 or a 405 by heuristics (RFC 9111
    // section 4.2.2) and serve it after the route was added.
    headers.insert(CACHE_CONTROL, NO_STORE);
    finish(snapshot, asked, headers);
    response
}

/// An answer that is the gateway's own: no backend was asked.
#[must_use]
pub fn own_answer(snapshot: &Snapshot, answer: OwnAnswer, asked: &Asked<'_>) -> Response<Bytes> {
    match answer {
        OwnAnswer::Preflight => preflight(snapshot, asked),
        OwnAnswer::ResourceMetadata => resource_metadata(snapshot, asked),
    }
}

/// What is added to a backend's answer on its way to the client: the request id, and the CORS fields that the backend
/// did not set itself.
pub fn forwarded(snapshot: &Snapshot, asked: &Asked<'_>, headers: &mut HeaderMap) {
    insert_text(headers, X_REQUEST_ID.clone(), asked.request_id);
    if let Some(cors) = &snapshot.cors {
        cors::add_to_forwarded(cors, asked.headers, headers);
    }
}

fn refused(snapshot: &Snapshot, refusal: &Refusal<'_>, answer: &Answer, asked: &Asked<'_>) -> Response<Bytes> {
    let (content_type, body) = body::write(snapshot, refusal, answer, asked.request_id);
    with_body(StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN), content_type, body, asked.method)
}

fn preflight(snapshot: &Snapshot, asked: &Asked<'_>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    if let Some(cors) = &snapshot.cors {
        cors::add_to_preflight(cors, asked.headers, headers);
    }
    insert_text(headers, X_REQUEST_ID.clone(), asked.request_id);
    response
}

fn resource_metadata(snapshot: &Snapshot, asked: &Asked<'_>) -> Response<Bytes> {
    let document = snapshot.resource.as_ref().map_or(&b"{}"[..], |resource| resource.document.as_bytes());
    let mut response = with_body(StatusCode::OK, JSON, Bytes::copy_from_slice(document), asked.method);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    finish(snapshot, asked, headers);
    response
}

/// A response whose length is told even where its body is left out.
pub(crate) fn with_body(
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
    method: &Method,
) -> Response<Bytes> {
    let length = HeaderValue::from(body.len());
    let mut response = Response::new(if method == Method::HEAD { Bytes::new() } else { body });
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response.headers_mut().insert(CONTENT_LENGTH, length);
    response
}

fn finish(snapshot: &Snapshot, asked: &Asked<'_>, headers: &mut HeaderMap) {
    insert_text(headers, X_REQUEST_ID.clone(), asked.request_id);
    if let Some(cors) = &snapshot.cors {
        cors::add_to_own(cors, asked.headers, headers);
    }
}

/// Sets a header field, unless its value cannot be one. All values that come here were checked where they came from.
pub(crate) fn insert_text(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
