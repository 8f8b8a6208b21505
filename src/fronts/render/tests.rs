//! What clients see of each reason, in each format.

use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE,
    ORIGIN, VARY,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::decision::Outcome;
use crate::core::head::RequestHead;
use crate::core::rejection::Reason;
use crate::core::route::RouteId;
use crate::core::snapshot::ErrorFormat;
use crate::core::time::UnixSeconds;
use crate::core::{Facts, KeysAsked, NoMemo, decide};
use crate::fronts::fixture::{authenticated, cors, requirement, snapshot, with_route};

const FORMATS: [ErrorFormat; 3] = [ErrorFormat::Envelope, ErrorFormat::Problem, ErrorFormat::Oauth];

fn refuse(snapshot: &Snapshot, reason: Reason) -> Response<Bytes> {
    refuse_with(snapshot, reason, &Trace::default(), None, &HeaderMap::new())
}

fn refuse_with(
    snapshot: &Snapshot,
    reason: Reason,
    trace: &Trace,
    requirement: Option<&TokenRequirement>,
    headers: &HeaderMap,
) -> Response<Bytes> {
    let rejected = Rejection::new(reason, "for the operator only");
    let asked = Asked { method: &Method::GET, headers, request_id: "req-1" };
    rejection(snapshot, &Refusal { rejection: &rejected, trace, requirement }, &asked)
}

fn body(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn field(response: &Response<Bytes>, name: impl http::header::AsHeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn envelope_tells_the_scopes_as_the_client_knows_them() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    let required = requirement(&mut snapshot, &["users:write"], &[]);
    let trace = authenticated(&snapshot, &["ping"], &[]);
    let response = refuse_with(&snapshot, Reason::ScopeMissing, &trace, Some(&required), &HeaderMap::new());
    assert_eq!(response.status(), 403);
    assert_eq!(field(&response, CONTENT_TYPE), "application/json");
    assert_eq!(field(&response, &X_REQUEST_ID), "req-1");
    assert_eq!(
        body(&response),
        json!({"error": {
            "code": "INSUFFICIENT_SCOPE",
            "message": "Insufficient OAuth scopes for this operation.",
            "details": {"requiredScopes": ["partner/users:write"], "providedScopes": ["partner/ping"]},
            "requestId": "req-1",
        }})
    );
    assert_eq!(
        field(&response, WWW_AUTHENTICATE),
        "Bearer realm=\"api\", error=\"insufficient_scope\", \
         error_description=\"Insufficient OAuth scopes for this operation.\", scope=\"partner/users:write\", \
         resource_metadata=\"https://api.example.com/.well-known/oauth-protected-resource\""
    );
}

#[test]
fn what_is_required_is_what_the_route_of_the_trace_says() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    let mut required = requirement(&mut snapshot, &["users:read"], &[]);
    required.any_scope =
        [Arc::make_mut(&mut snapshot.scopes).intern("a"), Arc::make_mut(&mut snapshot.scopes).intern("b")].into();
    with_route(&mut snapshot, Requirement::Token(required));
    let trace = Trace { route: Some(RouteId(0)), ..authenticated(&snapshot, &["users:read"], &[]) };
    let rejected = Rejection::new(Reason::ScopeMissing, "");
    let asked = Asked { method: &Method::GET, headers: &HeaderMap::new(), request_id: "r" };
    let response = rejection(&snapshot, &Refusal::new(&snapshot, &rejected, &trace), &asked);
    let details = &body(&response)["error"]["details"];
    assert_eq!(details["requiredScopes"], json!(["partner/users:read", "partner/a", "partner/b"]));
    assert_eq!(details["providedScopes"], json!(["partner/users:read"]));
    let challenge = field(&response, WWW_AUTHENTICATE);
    assert!(challenge.contains("scope=\"partner/users:read partner/a partner/b\""), "{challenge}");
}

/// From the request to the answer, by the decision that the proxy makes.
#[test]
fn refusals_of_the_core_are_answered() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    let required = requirement(&mut snapshot, &["users:read"], &[]);
    with_route(&mut snapshot, Requirement::Token(required));
    let answer = |method: Method, target| {
        let headers = HeaderMap::new();
        let head = RequestHead { method: &method, target, headers: (&headers).into() };
        let facts = Facts { memo: &NoMemo, keys: KeysAsked::NotYet };
        let decision = decide(&snapshot, &head, &facts, UnixSeconds(0)).unwrap();
        let Outcome::Reject(rejected) = &decision.outcome else { panic!("{decision:?}") };
        let asked = Asked { method: &method, headers: &headers, request_id: "r" };
        rejection(&snapshot, &Refusal::new(&snapshot, rejected, &decision.trace), &asked)
    };
    assert_eq!(answer(Method::GET, "/v1/users").status(), 401);
    assert_eq!(answer(Method::GET, "/v1/%2e%2e").status(), 400);
    assert_eq!(answer(Method::GET, "/nothing").status(), 404);
    let posted = answer(Method::POST, "/v1/users");
    assert_eq!((posted.status().as_u16(), field(&posted, ALLOW)), (405, "GET, HEAD"));
}

#[test]
fn problem_is_rfc_9457() {
    let mut snapshot = snapshot(ErrorFormat::Problem);
    let required = requirement(&mut snapshot, &[], &["admin"]);
    let trace = authenticated(&snapshot, &["ping"], &["viewer"]);
    let response = refuse_with(&snapshot, Reason::RoleMissing, &trace, Some(&required), &HeaderMap::new());
    assert_eq!(field(&response, CONTENT_TYPE), "application/problem+json");
    assert_eq!(
        body(&response),
        json!({
            "type": "about:blank",
            "title": "Forbidden",
            "status": 403,
            "detail": "Insufficient roles for this operation.",
            "code": "INSUFFICIENT_SCOPE",
            "requiredRoles": ["admin"],
            "providedRoles": ["viewer"],
            "requestId": "req-1",
        })
    );
}

#[test]
fn oauth_takes_the_error_of_rfc_6750_or_the_code() {
    let snapshot = snapshot(ErrorFormat::Oauth);
    let error = |reason| body(&refuse(&snapshot, reason))["error"].clone();
    assert_eq!(error(Reason::TokenExpired), "invalid_token");
    assert_eq!(error(Reason::TokenDuplicate), "invalid_request");
    assert_eq!(error(Reason::ScopeMissing), "insufficient_scope");
    assert_eq!(error(Reason::TokenMissing), "unauthorized");
    assert_eq!(error(Reason::TenantForbidden), "tenant_forbidden");
    assert_eq!(error(Reason::RouteUnknown), "not_found");
    assert_eq!(
        body(&refuse(&snapshot, Reason::TokenExpired)),
        json!({"error": "invalid_token", "error_description": "The access token is not valid.", "request_id": "req-1"})
    );
}

#[test]
fn every_invalid_token_gets_the_same_bytes() {
    let mut headers = HeaderMap::new();
    for content_type in ["application/json", "application/grpc"] {
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        for format in FORMATS {
            let mut snapshot = snapshot(format);
            let required = requirement(&mut snapshot, &["users:write"], &["admin"]);
            // Some reasons are found before the signer is known, some after: that must not show either.
            let known = Trace { authenticated: false, ..authenticated(&snapshot, &["ping"], &[]) };
            let answers = Reason::ALL.iter().filter(|reason| reason.answer().bearer_error == Some("invalid_token"));
            let mut seen: Vec<String> = answers
                .flat_map(|reason| [(reason, Trace::default()), (reason, clone_of(&known))])
                .map(|(reason, trace)| {
                    format!("{:?}", refuse_with(&snapshot, *reason, &trace, Some(&required), &headers))
                })
                .collect();
            assert!(seen.len() > 20);
            seen.dedup();
            assert_eq!(seen.len(), 1, "{seen:?}");
            assert!(!seen[0].contains("users:write"), "{seen:?}");
        }
    }
}

fn clone_of(trace: &Trace) -> Trace {
    Trace { principal: trace.principal.clone(), authenticated: trace.authenticated, ..Trace::default() }
}

#[test]
fn the_detail_is_never_told() {
    for format in FORMATS {
        let snapshot = snapshot(format);
        for reason in Reason::ALL {
            let response = refuse(&snapshot, *reason);
            assert_eq!(response.status(), reason.answer().status);
            assert!(!format!("{response:?}").contains("operator"), "{reason}");
            assert_eq!(field(&response, CACHE_CONTROL), "no-store");
        }
    }
}

#[test]
fn every_401_and_403_is_challenged() {
    let snapshot = snapshot(ErrorFormat::Envelope);
    for reason in Reason::ALL {
        let response = refuse(&snapshot, *reason);
        let challenge = field(&response, WWW_AUTHENTICATE);
        let challenged = matches!(reason.answer().status, 401 | 403) || reason.answer().bearer_error.is_some();
        assert_eq!(!challenge.is_empty(), challenged, "{reason}");
        assert_eq!(challenge.contains("resource_metadata="), challenged, "{reason}");
        assert_eq!(challenge.contains("error="), reason.answer().bearer_error.is_some(), "{reason}");
    }
    assert!(!field(&refuse(&snapshot, Reason::TokenMissing), WWW_AUTHENTICATE).contains("error"));
}

#[test]
fn details_are_only_there_where_there_is_something_to_say() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    let required = requirement(&mut snapshot, &["users:write"], &["admin"]);
    let trace = authenticated(&snapshot, &[], &[]);
    for reason in Reason::ALL {
        let response = refuse_with(&snapshot, *reason, &trace, Some(&required), &HeaderMap::new());
        let expected = matches!(reason, Reason::ScopeMissing | Reason::RoleMissing);
        assert_eq!(body(&response)["error"].get("details").is_some(), expected, "{reason}");
    }
    let response = refuse_with(&snapshot, Reason::ScopeMissing, &trace, Some(&required), &HeaderMap::new());
    assert_eq!(body(&response)["error"]["details"]["providedScopes"], json!([]));
}

#[test]
fn grpc_is_answered_in_trailers_only() {
    let snapshot = snapshot(ErrorFormat::Envelope);
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/grpc+proto"))]);
    for reason in Reason::ALL {
        let response = refuse_with(&snapshot, *reason, &Trace::default(), None, &headers);
        let answer = reason.answer();
        assert_eq!(response.status(), 200);
        assert!(response.body().is_empty());
        assert_eq!(field(&response, CONTENT_TYPE), "application/grpc");
        assert_eq!(field(&response, "grpc-status"), answer.grpc.to_string());
        assert_eq!(field(&response, "grpc-message"), answer.message);
        assert_eq!(field(&response, &X_REQUEST_ID), "req-1");
        assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), answer.challenge);
    }
}

#[test]
fn allow_and_retry_after_stand_where_they_belong() {
    let snapshot = snapshot(ErrorFormat::Envelope);
    let trace = Trace { allow: Some("GET, HEAD".into()), ..Trace::default() };
    let response = refuse_with(&snapshot, Reason::MethodNotAllowed, &trace, None, &HeaderMap::new());
    assert_eq!((response.status().as_u16(), field(&response, ALLOW)), (405, "GET, HEAD"));
    for reason in Reason::ALL {
        let response = refuse(&snapshot, *reason);
        assert_eq!(response.headers().contains_key(RETRY_AFTER), response.status() == 503, "{reason}");
    }
}

#[test]
fn head_is_told_the_length_and_nothing_more() {
    let snapshot = snapshot(ErrorFormat::Envelope);
    let (headers, trace) = (HeaderMap::new(), Trace::default());
    let rejected = Rejection::new(Reason::RouteUnknown, "");
    let refusal = Refusal { rejection: &rejected, trace: &trace, requirement: None };
    let ask = |method| rejection(&snapshot, &refusal, &Asked { method, headers: &headers, request_id: "r" });
    let (get, head) = (ask(&Method::GET), ask(&Method::HEAD));
    assert_eq!(field(&get, CONTENT_LENGTH), get.body().len().to_string());
    assert!(head.body().is_empty() && !get.body().is_empty());
    assert_eq!(get.headers(), head.headers());
}

#[test]
fn the_metadata_document_is_served_as_it_was_made() {
    let snapshot = snapshot(ErrorFormat::Envelope);
    let headers = HeaderMap::new();
    let asked = Asked { method: &Method::GET, headers: &headers, request_id: "r" };
    let response = own_answer(&snapshot, OwnAnswer::ResourceMetadata, &asked);
    assert_eq!((response.status().as_u16(), field(&response, CONTENT_TYPE)), (200, "application/json"));
    assert_eq!(body(&response), json!({"resource": "https://api.example.com"}));
}

fn from_origin(origin: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))])
}

#[test]
fn preflights_are_answered_by_origin() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    snapshot.cors = Some(cors(Some(&["https://app.example.com"])));
    let preflight = |origin| {
        let headers = from_origin(origin);
        let asked = Asked { method: &Method::OPTIONS, headers: &headers, request_id: "r" };
        own_answer(&snapshot, OwnAnswer::Preflight, &asked)
    };
    let allowed = preflight("https://app.example.com");
    assert_eq!(allowed.status(), 204);
    assert_eq!(field(&allowed, ACCESS_CONTROL_ALLOW_ORIGIN), "https://app.example.com");
    assert_eq!(field(&allowed, ACCESS_CONTROL_ALLOW_METHODS), "GET, POST");
    assert_eq!(field(&allowed, ACCESS_CONTROL_ALLOW_HEADERS), "Authorization, Content-Type");
    assert_eq!(field(&allowed, ACCESS_CONTROL_MAX_AGE), "600");
    assert_eq!(field(&allowed, VARY), "Origin");
    for foreign in ["https://evil.example", "https://app.example.com.evil.example", "null", "HTTPS://APP.EXAMPLE.COM"] {
        let refused = preflight(foreign);
        assert_eq!((refused.status().as_u16(), field(&refused, VARY)), (204, "Origin"));
        assert!(!refused.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{foreign}");
        assert!(!refused.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS), "{foreign}");
    }
}

#[test]
fn pages_of_allowed_origins_can_read_refusals() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    snapshot.cors = Some(cors(Some(&["https://app.example.com"])));
    let headers = from_origin("https://app.example.com");
    let refused = refuse_with(&snapshot, Reason::TokenExpired, &Trace::default(), None, &headers);
    assert_eq!(field(&refused, ACCESS_CONTROL_ALLOW_ORIGIN), "https://app.example.com");
    snapshot.cors = Some(cors(None));
    let refused = refuse_with(&snapshot, Reason::TokenExpired, &Trace::default(), None, &headers);
    assert_eq!((field(&refused, ACCESS_CONTROL_ALLOW_ORIGIN), field(&refused, VARY)), ("*", ""));
}

#[test]
fn a_backend_that_speaks_cors_has_the_last_word() {
    let mut snapshot = snapshot(ErrorFormat::Envelope);
    snapshot.cors = Some(cors(Some(&["https://app.example.com"])));
    let request = from_origin("https://app.example.com");
    let asked = Asked { method: &Method::GET, headers: &request, request_id: "r" };

    let mut plain = HeaderMap::from_iter([(VARY, HeaderValue::from_static("Accept-Encoding"))]);
    forwarded(&snapshot, &asked, &mut plain);
    assert_eq!(plain[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example.com");
    assert_eq!(plain.get_all(VARY).iter().collect::<Vec<_>>(), ["Accept-Encoding", "Origin"]);
    assert_eq!(plain[&X_REQUEST_ID], "r");

    let theirs = HeaderMap::from_iter([(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("https://b.example"))]);
    let mut answer = theirs.clone();
    forwarded(&snapshot, &asked, &mut answer);
    answer.remove(&X_REQUEST_ID);
    assert_eq!(answer, theirs);
}

/// Splits a challenge into its parameters the way RFC 9110 section 11.2 says; `None` if it is not one.
fn parse_challenge(challenge: &str) -> Option<Vec<(String, String)>> {
    let mut rest = challenge.strip_prefix("Bearer ")?;
    let mut parameters = Vec::new();
    loop {
        let (name, quoted) = rest.split_once("=\"")?;
        let (mut value, mut chars) = (String::new(), quoted.char_indices());
        let end = loop {
            match chars.next()? {
                (_, '\\') => value.push(chars.next()?.1),
                (end, '"') => break end,
                (_, char) => value.push(char),
            }
        };
        parameters.push((name.to_owned(), value));
        match &quoted[end + 1..] {
            "" => return Some(parameters),
            more => rest = more.strip_prefix(", ")?,
        }
    }
}

proptest! {
    /// Whatever stands in names, realm and request id: header values are header values, a challenge parses, JSON parses.
    #[test]
    fn answers_are_well_formed_whatever_is_in_them(
        names in prop::collection::vec(any::<String>(), 0..4),
        realm in any::<String>(),
        request_id in any::<String>(),
        index in 0..Reason::ALL.len(),
        format in 0..3usize,
    ) {
        let mut snapshot = snapshot(FORMATS[format]);
        snapshot.errors.realm = realm.clone().into();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let required = requirement(&mut snapshot, &names, &names);
        let trace = authenticated(&snapshot, &names, &names);
        let rejected = Rejection::new(Reason::ALL[index], "");
        let refusal = Refusal { rejection: &rejected, trace: &trace, requirement: Some(&required) };
        let headers = HeaderMap::new();
        let asked = Asked { method: &Method::GET, headers: &headers, request_id: &request_id };
        let response = rejection(&snapshot, &refusal, &asked);
        prop_assert!(serde_json::from_slice::<Value>(response.body()).is_ok());
        if let Some(challenge) = response.headers().get(WWW_AUTHENTICATE) {
            let parameters = parse_challenge(challenge.to_str().unwrap());
            prop_assert!(parameters.is_some(), "{challenge:?}");
            if realm.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
                prop_assert_eq!(&parameters.unwrap()[0], &("realm".to_owned(), realm));
            }
        }
    }
}
