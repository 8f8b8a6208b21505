//! Forward-auth: another proxy asks about a request that it describes in header fields, and reads the answer off status
//! and header fields. nginx (`auth_request`), Traefik, Caddy and HAProxy ask so.

mod original;

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Response, StatusCode};

use self::original::Original;
use super::authz::{AuthzBody, AuthzConnection, Verdict, judge, reject};
use super::record::Record;
use crate::core::rejection::{Reason, Rejection};
use crate::net::head::Head;

/// The status that the client should have seen, where the proxy that asks knows only a few.
const X_SIDEGATE_STATUS: HeaderName = HeaderName::from_static("x-sidegate-status");

/// Answers one request of another proxy. It has no body that matters.
pub(super) async fn call(connection: &AuthzConnection, mut head: Head) -> Response<AuthzBody> {
    // It decides nothing, and of a gRPC request it would make a refusal with a good status.
    head.remove(&CONTENT_TYPE);
    if !connection.may_ask() {
        let record = connection.undecided(&head, StatusCode::FORBIDDEN);
        let mut response = Response::new(AuthzBody::new("not in authz.allow_from\n".into(), None, record));
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    let knows_few = original::is_from_nginx(head.headers());
    let (verdict, record) = verdict(connection, &head).await;
    let response = match verdict {
        Verdict::Forward(instructions) => {
            let mut response = Response::new(bytes::Bytes::new());
            *response.headers_mut() = instructions.set;
            response
        }
        Verdict::Answer(mut response) => {
            let status = response.status();
            let is_told = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
            // A good status would let the request through, whatever it was meant to say.
            if status.is_success() || (knows_few && !is_told) {
                response.headers_mut().insert(X_SIDEGATE_STATUS, HeaderValue::from(status.as_u16()));
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
            response
        }
    };
    response.map(|body| AuthzBody::new(body, None, record))
}

async fn verdict(connection: &AuthzConnection, asked: &Head) -> (Verdict, Box<Record>) {
    let original = match Original::of(asked) {
        Ok(original) => original,
        Err(rejection) => {
            let mut record = Record::new(&connection.worker, connection.peer, asked);
            let response = reject(rejection, &mut record, &asked.method, asked.headers());
            return (Verdict::Answer(response), record);
        }
    };
    let head = &original.head;
    let mut record = Record::new(&connection.worker, original.client.unwrap_or(connection.peer), head);
    let serving = record.serving();
    if let Some(name) = serving.policy.found_in_disguise(head.headers()) {
        let detail = format!("{name} cannot be taken out of the request here, and may reach the backend");
        let rejection = Rejection::new(Reason::RequestMalformed, detail);
        let response = reject(rejection, &mut record, &asked.method, head.headers());
        return (Verdict::Answer(response), record);
    }
    let verdict = judge(&connection.worker, head, None, &mut record, &asked.method).await;
    (verdict, record)
}
