//! What is told when the answer is no: a problem document (RFC 9457).

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use serde::Serialize;

use super::super::Call;
use super::guard::Admitted;
use crate::authority::manage::ManageError;
use crate::authority::rules::Denied;
use crate::authority::store::{ChangeError, StoreError};
use crate::core::decision::Trace;
use crate::core::fields::X_REQUEST_ID;
use crate::core::rejection::{Reason, Rejection};
use crate::core::snapshot::{Snapshot, TokenRequirement};
use crate::fronts::render::{self, Asked, Refusal};

/// How long to wait for what is not there.
const RETRY_AFTER_SECONDS: u16 = 5;
/// Longest detail, in characters: some of it is what was sent.
const DETAIL_CHARACTERS_MAX: usize = 400;

/// Why something is not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<Box<str>>,
    version: Option<u64>,
    /// What the token was refused for after it was let in, and the scopes that it lacks.
    refusal: Option<Box<(Reason, Vec<Box<str>>)>>,
    /// What goes with it in the head of the answer.
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why something was not done (RFC 9457).
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProblemDocument<'p> {
    /// Always `about:blank`: what kind of problem it is stands in `status` and `code`.
    r#type: &'static str,
    /// What the status means.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What was wrong, and what would be right.
    detail: &'p str,
    /// The kind of problem, for programs.
    code: &'static str,
    /// Which member of the body or which parameter is not what it has to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'p str>,
    /// The version that the client is at, where that was not the expected one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// What the request is called in the log; `X-Request-Id` of the answer.
    request_id: &'p str,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: shortened(detail.into()),
            field: None,
            version: None,
            refusal: None,
            headers: Vec::new(),
        }
    }

    /// The request is not one that could be understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BAD_REQUEST", detail)
    }

    /// It is understood, and asks for what cannot be.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "INVALID", detail)
    }

    pub(super) fn unknown(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", detail)
    }

    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", detail);
        problem.with(RETRY_AFTER, Some(RETRY_AFTER_SECONDS.into()))
    }

    pub(super) fn internal(detail: &str) -> Self {
        tracing::error!(detail, "the admin API failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", detail)
    }

    /// The path has other methods.
    pub(super) fn method(allow: &[&Method]) -> Self {
        let mut names: Vec<&str> = allow.iter().map(|method| method.as_str()).collect();
        if names.contains(&"GET") {
            names.push("HEAD");
        }
        let names = names.join(", ");
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            format!("this path does not have the method; it has {names}"),
        );
        problem.with(ALLOW, HeaderValue::from_str(&names).ok())
    }

    /// The client is at another version than it was expected at.
    pub(super) fn conflict(current: u64) -> Self {
        let detail = format!("the client has changed: it is at version {current}, and If-Match names another");
        let problem = Self::new(StatusCode::PRECONDITION_FAILED, "PRECONDITION_FAILED", detail);
        Self { version: Some(current), ..problem }
    }

    fn with(mut self, name: HeaderName, value: Option<HeaderValue>) -> Self {
        self.headers.extend(value.map(|value| (name, value)));
        self
    }

    /// With the member or parameter that it is about.
    pub(super) fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(shortened(field.into()).into()), ..self }
    }

    fn forbidden(reason: Reason, detail: String, lacking: Vec<Box<str>>) -> Self {
        let problem = Self::new(StatusCode::FORBIDDEN, reason.answer().code, detail);
        Self { refusal: Some(Box::new((reason, lacking))), ..problem }
    }

    /// What the core says no to. Of a token that is no good, nothing is told but that it is none.
    pub(super) fn refused(
        snapshot: &Snapshot,
        rejection: &Rejection,
        trace: &Trace,
        requirement: &TokenRequirement,
        call: &Call<'_>,
    ) -> Self {
        let answer = rejection.reason.answer();
        let detail = match rejection.reason {
            Reason::ScopeMissing => &*rejection.detail,
            _ => answer.message,
        };
        // Its own header fields would tell of other formats than this one.
        let asked = Asked { method: call.method, headers: &HeaderMap::new(), request_id: call.request_id };
        let refusal = Refusal { rejection, trace, requirement: Some(requirement) };
        let rendered = render::rejection(snapshot, &refusal, &asked);
        let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::FORBIDDEN);
        let problem = Self::new(status, answer.code, detail);
        let challenge = rendered.headers().get(WWW_AUTHENTICATE).cloned();
        problem.with(WWW_AUTHENTICATE, challenge).with(RETRY_AFTER, answer.retry_after_seconds.map(Into::into))
    }

    /// With the challenge (RFC 6750 section 3) that goes with it, if it is about what the caller may touch and hand on.
    pub(super) fn challenged(self, admitted: &Admitted, call: &Call<'_>) -> Self {
        let Some((reason, lacking)) = self.refusal.as_deref() else { return self };
        let Admitted { snapshot, trace, caller: _ } = admitted;
        let scopes = lacking.iter().filter_map(|scope| snapshot.scopes.id(scope)).collect();
        let needed = TokenRequirement { scopes, ..TokenRequirement::default() };
        let refused = Self::refused(snapshot, &Rejection::new(*reason, ""), trace, &needed, call);
        Self { headers: refused.headers, ..self }
    }

    pub(super) fn response(self, call: &Call<'_>) -> Response<Bytes> {
        let document = ProblemDocument {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            field: self.field.as_deref(),
            version: self.version,
            request_id: call.request_id,
        };
        let mut body = serde_json::to_vec(&document).unwrap_or_default();
        body.push(b'\n');
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response = render::with_body(self.status, content_type, body.into(), call.method);
        let headers = response.headers_mut();
        headers.extend(self.headers);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        render::insert_text(headers, X_REQUEST_ID.clone(), call.request_id);
        response
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::Unknown(_) => Self::unknown(detail),
            Denied::Exists(_) => Self::new(StatusCode::CONFLICT, "CONFLICT", detail).about("client_id"),
            Denied::Invalid { field, reason } => Self::invalid(reason).about(field),
            Denied::Conflict { current } => Self::conflict(current),
            Denied::SecretsMax => Self::new(StatusCode::CONFLICT, "CONFLICT", detail).about("keep_old"),
            Denied::Beyond(lacking) => Self::forbidden(Reason::ScopeMissing, detail, lacking),
            Denied::TenantsOnly => Self::forbidden(Reason::TenantForbidden, detail, Vec::new()),
            Denied::Random => Self::internal(&detail),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        // What exactly is wrong with it is for operators.
        tracing::error!(%error, "the admin API has no storage to work with");
        Self::unavailable(
            "the authority's storage does not answer: a change that was asked for may have been made or not",
        )
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Self {
        match error {
            ChangeError::Denied(denied) => denied.into(),
            ChangeError::Store(error) => error.into(),
        }
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(DETAIL_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
