//! What Envoy is told: a verdict as its message.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, VARY};
use http::{HeaderMap, HeaderValue, Response};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::proto::{
    AppendAction, CheckResponse, DeniedHttpResponse, HeaderValue as ProtoHeaderValue, HeaderValueOption, HttpResponse,
    HttpStatus, OkHttpResponse, Status,
};
use crate::core::fields::X_REQUEST_ID;
use crate::core::rejection::Rejection;
use crate::fronts::authz::{Instructions, Verdict};
use crate::fronts::record::Record;

/// Codes of `google.rpc.Status`. Anything but OK is a refusal; what the client sees is in the other fields.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;

/// The message that says this verdict.
pub(super) fn of(verdict: Verdict, record: &Record) -> CheckResponse {
    let (code, message, http_response) = match verdict {
        Verdict::Forward(instructions) => (OK, "", HttpResponse::Ok(forward(instructions))),
        Verdict::Answer(response) => {
            let reason = record.rejection.as_ref().map_or("", |rejection| rejection.reason.label());
            (PERMISSION_DENIED, reason, HttpResponse::Denied(answer(response)))
        }
    };
    CheckResponse {
        status: Some(Status { code, message: message.to_owned() }),
        http_response: Some(http_response),
        dynamic_metadata: Some(metadata(record)),
    }
}

fn forward(instructions: Instructions) -> OkHttpResponse {
    let Instructions { set, remove, answer } = instructions;
    let added = answer.iter().map(|(name, value)| {
        let action = match name {
            _ if name == X_REQUEST_ID => AppendAction::OverwriteIfExistsOrAdd,
            _ if name == VARY => AppendAction::AppendIfExistsOrAdd,
            // A backend that answers for itself is left to it.
            _ => AppendAction::AddIfAbsent,
        };
        field(name.as_str(), value, action)
    });
    OkHttpResponse {
        headers: overwriting(&set),
        headers_to_remove: remove.iter().map(|name| name.as_str().to_owned()).collect(),
        response_headers_to_add: added.collect(),
    }
}

fn answer(response: Response<Bytes>) -> DeniedHttpResponse {
    let (mut parts, body) = response.into_parts();
    // Envoy frames what it sends.
    parts.headers.remove(CONTENT_LENGTH);
    DeniedHttpResponse {
        status: Some(HttpStatus { code: i32::from(parts.status.as_u16()) }),
        headers: overwriting(&parts.headers),
        body: String::from_utf8(body.into()).unwrap_or_default(),
    }
}

fn overwriting(headers: &HeaderMap) -> Vec<HeaderValueOption> {
    headers.iter().map(|(name, value)| field(name.as_str(), value, AppendAction::OverwriteIfExistsOrAdd)).collect()
}

/// Values of ours are UTF-8: they were made from claims, or are ASCII.
fn field(name: &str, value: &HeaderValue, action: AppendAction) -> HeaderValueOption {
    let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
    let header = Some(ProtoHeaderValue { key: name.to_owned(), value });
    HeaderValueOption { header, append_action: action.into() }
}

/// What Envoy's log and its other filters may want to know. There is no token in it, and nothing that a client could make
/// long: see `limits.token_bytes`.
fn metadata(record: &Record) -> Struct {
    let snapshot = record.snapshot();
    let trace = &record.trace;
    let principal = trace.principal.as_deref().filter(|_| trace.authenticated);
    let refused = record.rejection.as_ref().or(trace.shadowed.as_ref());
    let label = |rejection: &Rejection| text(rejection.reason.label());
    let tenant = trace.tenant().map(|tenant| text(&String::from_utf8_lossy(tenant.as_bytes())));
    let fields = [
        ("request_id", Some(text(record.request_id.as_str()))),
        ("client", principal.and_then(|principal| principal.client_id.as_deref()).map(text)),
        ("tenant", tenant),
        ("scopes", principal.map(|principal| list(principal.scope_names.iter()))),
        ("route", trace.route.and_then(|id| snapshot.routes.label(id)).map(|label| text(label))),
        ("reason", refused.map(label)),
        ("shadowed", (record.rejection.is_none() && trace.shadowed.is_some()).then(|| value(Kind::BoolValue(true)))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Struct { fields: fields.collect() }
}

fn text(text: &str) -> Value {
    value(Kind::StringValue(text.to_owned()))
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    value(Kind::ListValue(ListValue { values: texts.map(text).collect() }))
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}
