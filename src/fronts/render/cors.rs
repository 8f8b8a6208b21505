//! The CORS protocol (Fetch standard, section 3.3): which answers a page of another origin may read.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue};

use crate::core::snapshot::Cors;

/// Answers a preflight. An origin that is not allowed gets a 204 that allows nothing, which is how browsers expect a no.
pub(super) fn add_to_preflight(cors: &Cors, request: &HeaderMap, answer: &mut HeaderMap) {
    if allow_origin(cors, request, answer) {
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, cors.methods.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, cors.headers.clone());
        answer.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    }
}

/// Lets a page read a refusal, with the fields that say why and the id to ask about it.
pub(super) fn add_to_own(cors: &Cors, request: &HeaderMap, answer: &mut HeaderMap) {
    if allow_origin(cors, request, answer) {
        answer.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("WWW-Authenticate, X-Request-Id, Allow, Retry-After"),
        );
    }
}

/// Lets a page read a backend's answer, unless the backend speaks the protocol itself: two answers to the same question
/// would be none.
pub(super) fn add_to_forwarded(cors: &Cors, request: &HeaderMap, answer: &mut HeaderMap) {
    if !answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        allow_origin(cors, request, answer);
    }
}

fn allow_origin(cors: &Cors, request: &HeaderMap, answer: &mut HeaderMap) -> bool {
    let Some(origins) = &cors.origins else {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return true;
    };
    // Said whether or not this request has an `Origin`: a cache must not give one origin's answer to another.
    vary_by_origin(answer);
    let Some(origin) = request.get(ORIGIN).filter(|origin| origins.contains(origin.as_bytes())) else { return false };
    answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    true
}

fn vary_by_origin(answer: &mut HeaderMap) {
    let said = |value: &HeaderValue| {
        let names = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        names.into_iter().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
    };
    if !answer.get_all(VARY).iter().any(said) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
    }
}
