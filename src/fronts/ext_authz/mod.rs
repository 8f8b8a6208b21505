//! Envoy's external authorization (`envoy.service.auth.v3.Authorization`): a message describes a request, the core
//! decides, a message says what Envoy is to do.
//!
//! Whatever a trusted peer sends to `Check` is answered with a verdict, what cannot be read included: Envoy can be told
//! to let requests through when the check itself fails (`failure_mode_allow`), and nobody may bring that about.

mod answer;
mod grpc;
mod original;
mod proto;

use bytes::Bytes;
use http::{Method, Response};
use prost::Message as _;

use self::grpc::{Code, NoMessage};
use self::original::Original;
use self::proto::CheckRequest;
use super::authz::{AuthzBody, AuthzConnection, Verdict, judge, reject};
use super::record::Record;
use crate::core::rejection::{Reason, Rejection};
use crate::net::head::Head;
use crate::net::service::{Request, RequestBody};

const CHECK: &str = "/envoy.service.auth.v3.Authorization/Check";

/// Answers one call.
pub(super) async fn call(connection: &AuthzConnection, request: Request) -> Response<AuthzBody> {
    let Request { head, body, .. } = request;
    if let Err(status) = grpc::check_head(&head) {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = status;
        return undecided(connection, &head, response);
    }
    if !connection.may_ask() {
        return undecided(connection, &head, grpc::status(Code::PermissionDenied, "not in authz.allow_from"));
    }
    if head.target() != CHECK {
        return undecided(connection, &head, grpc::status(Code::Unimplemented, "no such method"));
    }
    check(connection, body).await
}

async fn check(connection: &AuthzConnection, body: RequestBody) -> Response<AuthzBody> {
    let (verdict, record) = match original(connection, body).await {
        Ok(original) => {
            let peer = original.client.unwrap_or(connection.peer);
            let mut record = Record::new(&connection.worker, peer, &original.head);
            let length = original.body_bytes();
            // An answer to HEAD is Envoy's to shorten.
            let verdict = judge(&connection.worker, &original.head, length, &mut record, &Method::GET).await;
            (verdict, record)
        }
        Err(rejection) => {
            let mut record = Record::unreadable(&connection.worker, connection.peer);
            let response = reject(rejection, &mut record, &Method::GET, &http::HeaderMap::new());
            (Verdict::Answer(response), record)
        }
    };
    let (response, trailers) = grpc::answer(&answer::of(verdict, &record));
    response.map(|bytes| AuthzBody::new(bytes, Some(trailers), record))
}

async fn original(connection: &AuthzConnection, body: RequestBody) -> Result<Original, Rejection> {
    let header_bytes = connection.worker.limits().header_bytes;
    let message = grpc::message(body, header_bytes).await.map_err(|error| match error {
        NoMessage::TooLong => {
            Rejection::new(Reason::HeadTooLarge, "the check is longer than limits.header_bytes allows for")
        }
        NoMessage::Compressed => Rejection::new(Reason::RequestMalformed, "the check is compressed"),
        NoMessage::Malformed => {
            Rejection::new(Reason::RequestMalformed, "the check broke off, or was not the only one")
        }
    })?;
    let check = CheckRequest::decode(message)
        .map_err(|_| Rejection::new(Reason::RequestMalformed, "the check is no message of Envoy's protocol"))?;
    Original::of(check, header_bytes)
}

fn undecided(connection: &AuthzConnection, head: &Head, response: Response<Bytes>) -> Response<AuthzBody> {
    let record = connection.undecided(head, response.status());
    response.map(|body| AuthzBody::new(body, None, record))
}
