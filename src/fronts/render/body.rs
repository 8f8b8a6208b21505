//! The bodies of refusals: one per `errors.format`.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::Serialize;

use super::Refusal;
use crate::core::rejection::{Answer, Reason};
use crate::core::scope::NameId;
use crate::core::snapshot::{ErrorFormat, Snapshot};

/// Content type and body of a refusal.
pub(super) fn write(
    snapshot: &Snapshot,
    refusal: &Refusal<'_>,
    answer: &Answer,
    request_id: &str,
) -> (HeaderValue, Bytes) {
    let details = details(snapshot, refusal);
    match snapshot.errors.format {
        ErrorFormat::Envelope => {
            let error = EnvelopeError { code: answer.code, message: answer.message, details, request_id };
            (super::JSON, json(&Envelope { error }))
        }
        ErrorFormat::Problem => {
            (HeaderValue::from_static("application/problem+json"), json(&problem(answer, details, request_id)))
        }
        ErrorFormat::Oauth => (super::JSON, json(&oauth(answer, request_id))),
    }
}

/// The scopes that the request's token is held to, with the prefix of its issuer, as a client asks for them.
pub(super) fn required_scopes<'a>(snapshot: &'a Snapshot, refusal: &Refusal<'a>) -> Vec<Cow<'a, str>> {
    let prefix = scope_prefix(snapshot, refusal);
    let names = refusal.requirement.into_iter().flat_map(|required| required.scopes.iter().chain(&required.any_scope));
    names.map(|id| prefixed(prefix, snapshot.scopes.name(*id))).collect()
}

/// What a client can do something about. `None` where there is nothing of the kind.
///
/// Only a token that was found valid gets to know what the route asks for.
fn details<'a>(snapshot: &'a Snapshot, refusal: &Refusal<'a>) -> Option<Details<'a>> {
    let principal = refusal.trace.principal.as_deref().filter(|_| refusal.trace.authenticated)?;
    match refusal.rejection.reason {
        Reason::ScopeMissing => {
            let prefix = scope_prefix(snapshot, refusal);
            Some(Details::Scopes {
                required_scopes: required_scopes(snapshot, refusal),
                provided_scopes: principal.scope_names.iter().map(|name| prefixed(prefix, name)).collect(),
            })
        }
        Reason::RoleMissing => {
            let required = refusal.requirement.map_or(&[] as &[NameId], |required| &required.roles);
            Some(Details::Roles {
                required_roles: required.iter().map(|id| snapshot.role_names.name(*id)).collect(),
                provided_roles: principal.role_names.iter().collect(),
            })
        }
        _ => None,
    }
}

fn scope_prefix<'a>(snapshot: &'a Snapshot, refusal: &Refusal<'_>) -> &'a str {
    let principal = refusal.trace.principal.as_ref();
    principal.and_then(|principal| snapshot.issuers.get(principal.issuer)).map_or("", |issuer| &issuer.scope_prefix)
}

fn prefixed<'a>(prefix: &str, name: &'a str) -> Cow<'a, str> {
    if prefix.is_empty() { Cow::Borrowed(name) } else { Cow::Owned(format!("{prefix}{name}")) }
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Details<'a> {
    Scopes { required_scopes: Vec<Cow<'a, str>>, provided_scopes: Vec<Cow<'a, str>> },
    Roles { required_roles: Vec<&'a str>, provided_roles: Vec<&'a str> },
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: EnvelopeError<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EnvelopeError<'a> {
    code: &'static str,
    message: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
    request_id: &'a str,
}

/// Problem details (RFC 9457). The type is `about:blank`, whose title has to be the status phrase: what is more exact
/// than the status is in `code`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    code: &'static str,
    #[serde(flatten)]
    details: Option<Details<'a>>,
    request_id: &'a str,
}

fn problem<'a>(answer: &Answer, details: Option<Details<'a>>, request_id: &'a str) -> Problem<'a> {
    let phrase = StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    Problem {
        r#type: "about:blank",
        title: phrase.unwrap_or_default(),
        status: answer.status,
        detail: answer.message,
        code: answer.code,
        details,
        request_id,
    }
}

/// RFC 6749 section 5.2, with the error codes of RFC 6750 section 3.1.
#[derive(Serialize)]
struct Oauth<'a> {
    error: Cow<'static, str>,
    error_description: &'static str,
    request_id: &'a str,
}

fn oauth<'a>(answer: &Answer, request_id: &'a str) -> Oauth<'a> {
    let error = answer.bearer_error.map_or_else(|| Cow::Owned(answer.code.to_ascii_lowercase()), Cow::Borrowed);
    Oauth { error, error_description: answer.description, request_id }
}

fn json(value: &impl Serialize) -> Bytes {
    // Strings and lists of strings always serialise.
    serde_json::to_vec(value).unwrap_or_default().into()
}
