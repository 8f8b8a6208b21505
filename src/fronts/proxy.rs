//! The proxy: a request comes in, the core decides, the answer goes out.

use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::Entry;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Response, Version, header};
use http_body::Body;
use rustls::ServerConfig;

use super::authority;
use super::body::{AnswerBody, UploadBody, UploadError};
use super::exchanges::Place;
use super::record::Record;
use super::render::{self, Asked};
use super::unreadable;
use super::worker::Worker;
use crate::core::decision::{Outcome, Permit};
use crate::core::fields::{Fields, Lines, X_REQUEST_ID};
use crate::core::head::split_authority;
use crate::core::rejection::{Reason, Rejection};
use crate::net::handshake::HandshakeError;
use crate::net::head::Head;
use crate::net::interim::Interim;
use crate::net::service::{self, Request, RequestBody, Service};
use crate::telemetry::metrics::OpenConnection;
use crate::upstream::headers::{Caller, ClientFacts, Scheme, address_value};
use crate::upstream::{Outgoing, OutgoingFields, OutgoingLines, ResponseBody, UpstreamError, Wishes};
use crate::worker::{Accepted, Connect};

/// Room for what is added to the fields of a request, in bytes: one allocation is enough for nearly all.
const OURS_BYTES: usize = 512;

/// Longest path with its query, in bytes, that a URI can have.
const PATH_BYTES_MAX: usize = u16::MAX as usize - 1;

/// Makes the proxy's service for each connection of a worker.
pub struct Proxy(Rc<Worker>);

impl Proxy {
    /// The proxy of one worker.
    #[must_use]
    pub fn new(worker: Rc<Worker>) -> Self {
        Self(worker)
    }
}

impl Connect for Proxy {
    type Service = ProxyConnection;

    fn limits(&self) -> service::Limits {
        self.0.limits()
    }

    fn tls(&self, listener: usize) -> Option<Arc<ServerConfig>> {
        let serving = self.0.serving();
        let tls = serving.generation().listeners_tls.get(listener)?.as_ref()?;
        Some(Arc::clone(&tls.config))
    }

    fn handshake(&self, result: Result<(), &HandshakeError>) {
        self.0.handshake(result);
    }

    fn connect(&self, accepted: &Accepted) -> ProxyConnection {
        let peer = accepted.peer.ip().to_canonical();
        ProxyConnection {
            worker: Rc::clone(&self.0),
            listener: accepted.listener,
            peer,
            peer_value: address_value(peer),
            scheme: if accepted.is_tls { Scheme::Https } else { Scheme::Http },
            _open: self.0.connection(),
        }
    }
}

/// The proxy, as one client's connection sees it.
pub struct ProxyConnection {
    worker: Rc<Worker>,
    listener: usize,
    peer: IpAddr,
    peer_value: HeaderValue,
    scheme: Scheme,
    _open: OpenConnection,
}

impl Service for ProxyConnection {
    type Body = AnswerBody;

    /// Not an `async fn`, which would hold what it is given twice.
    fn call(&self, request: Request) -> impl Future<Output = Response<AnswerBody>> {
        let Request { head, body, interim } = request;
        async move {
            let mut record = Record::new(&self.worker, self.peer, &head);
            let shown = shown_in_answers(head.fields());
            if let Some(asked) = authority::asked(&record, self.listener, &head) {
                return match Box::pin(self.worker.authority().answer(asked, *head, body, &mut record)).await {
                    Ok(response) => authority::finish(response, &shown.unwrap_or_default(), record),
                    Err(rejection) => self.reject(rejection, record, shown),
                };
            }
            let permit = match self.worker.decide(&head, &mut record).await {
                Outcome::Forward(permit) => permit,
                Outcome::Answer(answer) => {
                    record.decided = false;
                    let shown = shown.unwrap_or_default();
                    let response = render::own_answer(record.snapshot(), answer, &asked(&record, &shown));
                    return finish(response, record);
                }
                Outcome::Reject(rejection) => return self.reject(rejection, record, shown),
            };
            let is_connect = head.version == Version::HTTP_2 && head.upgrade.is_some();
            // Taken apart first, since a `match` would hold what is awaited a second time.
            let (mut refused, mut watched) = (None, Watched::NotYet);
            let response = self.forward(permit, head, body, interim, &mut record);
            let mut response = pin!(response.map_err(|rejection| refused = Some(rejection)).ok());
            let response = match refused {
                Some(rejection) => Err(rejection),
                None => poll_fn(|cx| poll_answered(response.as_mut().as_pin_mut(), &mut watched, &record, cx)).await,
            };
            if let (Ok(response), Some((_, duration))) = (&response, &mut record.upstream) {
                *duration = Some(response.body().waited());
            }
            match response {
                Ok(response) if is_connect && response.status().is_success() => {
                    self.reject(not_switched(), record, shown)
                }
                Ok(response) => forwarded(response, record, shown),
                Err(rejection) => self.reject(rejection, record, shown),
            }
        }
    }

    fn refuse(&self, refusal: service::Refusal, head: Option<&Head>) -> Response<AnswerBody> {
        let (record, shown) = match head {
            Some(head) => (Record::new(&self.worker, self.peer, head), shown_in_answers(head.fields())),
            None => (Record::unreadable(&self.worker, self.peer), None),
        };
        self.reject(unreadable(refusal), record, shown)
    }
}

impl ProxyConnection {
    /// Spends the permit: what there is to be waited for.
    fn forward(
        &self,
        permit: Permit,
        mut head: Box<Head>,
        body: RequestBody,
        interim: Interim,
        record: &mut Record,
    ) -> Result<impl Future<Output = Result<Response<ResponseBody>, UpstreamError>> + use<>, Rejection> {
        let bytes_max = permit.body_bytes_max();
        if let (Some(max), Some(length)) = (bytes_max, body.size_hint().exact())
            && length > max
        {
            return Err(UploadError::TooLarge.rejection());
        }
        let serving = record.serving();
        let trusted = serving.snapshot().trusted_proxies.iter().any(|network| network.contains(&self.peer));
        let body = UploadBody::new(body, &serving, bytes_max);
        record.upload = body.upload();
        let wishes = Wishes { interim: Some(interim), upgrade: head.upgrade.take() };
        let outgoing = self.outgoing(&permit, &head, wishes.upgrade.is_some(), body, record, trusted)?;
        record.upstream = Some((permit.upstream(), None));
        // What it was made of is not needed while the backend works, and dropped here.
        Ok(serving.upstreams.forward(permit, outgoing, wishes))
    }

    /// The request as the backend sees it.
    fn outgoing(
        &self,
        permit: &Permit,
        head: &Head,
        asks_upgrade: bool,
        body: UploadBody,
        record: &Record,
        trusted: bool,
    ) -> Result<Outgoing<UploadBody>, Rejection> {
        let (authority, path) = split_authority(head.target())?;
        if path.len() > PATH_BYTES_MAX {
            return Err(too_long());
        }
        let client = ClientFacts {
            peer: &self.peer_value,
            trusted,
            scheme: self.scheme,
            authority,
            request_id: record.request_id.as_bytes(),
        };
        let serving = record.serving();
        let (policy, caller) = (&serving.policy, Caller::from(permit));
        let fields = if serving.upstreams.takes_lines(permit.upstream()) && !asks_upgrade {
            let mut lines = OutgoingLines::begin(&head.method, path, head.bytes() + OURS_BYTES);
            // The identity headers are lines already, and go behind the rest.
            let without_headers = Caller { headers: &[], ..caller };
            policy.write_to_upstream(head.fields(), &without_headers, &client, |field| {
                if !is_settled_here(head.version, field.name) {
                    lines.put(field);
                }
            })?;
            lines.put_lines(permit.principal().map_or(&[], |principal| principal.header_lines()));
            OutgoingFields::Lines(lines)
        } else {
            let mut headers = policy.map_to_upstream(head.fields(), &caller, &client)?;
            for name in [header::EXPECT, header::SEC_WEBSOCKET_KEY] {
                if is_settled_here(head.version, name.as_str().as_bytes()) {
                    headers.remove(name);
                }
            }
            // A copy: the buffer that the head stands in is given up while the backend works.
            let path = PathAndQuery::try_from(path).map_err(|_| too_long())?;
            OutgoingFields::Map(path, headers)
        };
        Ok(Outgoing { method: head.method.clone(), fields, body })
    }

    fn reject(&self, rejection: Rejection, mut record: Box<Record>, shown: Shown) -> Response<AnswerBody> {
        let (serving, shown) = (record.serving(), shown.unwrap_or_default());
        let snapshot = serving.snapshot();
        let refusal = render::Refusal::new(snapshot, &rejection, &record.trace);
        let response = render::rejection(snapshot, &refusal, &asked(&record, &shown));
        record.rejection = Some(rejection);
        finish(response, record)
    }
}

/// Whether the client whose token let a request in is watched while a backend works.
enum Watched {
    NotYet,
    /// No token mattered, or nobody says here which clients there are.
    Never,
    At(Place),
}

/// Waits for a backend, for as long as the client whose token let the request in stands. Watched is that once there is something
/// to be waited for.
fn poll_answered(
    response: Option<Pin<&mut impl Future<Output = Result<Response<ResponseBody>, UpstreamError>>>>,
    watched: &mut Watched,
    record: &Record,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ResponseBody>, Rejection>> {
    if let Some(Poll::Ready(response)) = response.map(|response| response.poll(cx)) {
        return Poll::Ready(response.map_err(explain));
    }
    if let Watched::NotYet = watched {
        *watched = record.watch().map_or(Watched::Never, Watched::At);
    }
    match watched {
        Watched::At(place) => place.poll_fallen(cx).map(Err),
        Watched::NotYet | Watched::Never => Poll::Pending,
    }
}

/// Nothing else is wrong with a target that was decided about.
fn too_long() -> Rejection {
    Rejection::new(Reason::RequestMalformed, "the request target is too long for a URI")
}

/// Whether a field is between the client and us.
fn is_settled_here(version: Version, name: &[u8]) -> bool {
    match name {
        // We have met the expectation ourselves by reading the body only now.
        b"expect" => true,
        // Of the handshake of HTTP/1.1, which a client of HTTP/2 has not made (RFC 8441 section 5).
        b"sec-websocket-key" => version == Version::HTTP_2,
        _ => false,
    }
}

/// A backend's answer, with what is ours added to it.
fn forwarded(mut response: Response<ResponseBody>, mut record: Box<Record>, shown: Shown) -> Response<AnswerBody> {
    record.status = response.status().as_u16();
    let snapshot = record.snapshot();
    let lines = match snapshot.cors {
        None => response.body_mut().lines_mut(),
        // What is to be added depends on what is there.
        Some(_) => {
            let lines = response.body_mut().take_lines();
            lines.iter().for_each(|lines| lines.append_to(response.headers_mut()));
            None
        }
    };
    match lines {
        // The request id goes with them (`Answer::field`).
        Some(lines) => without(lines, &X_REQUEST_ID),
        None => render::forwarded(snapshot, &asked(&record, &shown.unwrap_or_default()), response.headers_mut()),
    }
    response.map(|body| AnswerBody::upstream(body, record))
}

fn without(lines: &mut Lines, name: &HeaderName) {
    if Fields::from(&*lines).contains(name) {
        lines.retain(|is, _| is != name.as_str().as_bytes());
    }
}

fn finish(response: Response<Bytes>, mut record: Box<Record>) -> Response<AnswerBody> {
    record.status = response.status().as_u16();
    response.map(|body| AnswerBody::own(body, record))
}

fn asked<'a>(record: &'a Record, shown: &'a HeaderMap) -> Asked<'a> {
    Asked { method: record.method(), headers: shown, request_id: record.request_id.as_str() }
}

/// Why a request for a tunnel over HTTP/2, which is a CONNECT there (RFC 8441), is not answered with success: that says that there
/// is one, whatever is in it, and a backend that has answered with a page instead has not agreed to anything.
fn not_switched() -> Rejection {
    Rejection::new(Reason::UpstreamProtocol, "the backend answered as if no upgrade had been asked for")
}

/// Fields of a request, if there are any. Boxed: a map is large, and has to be kept for as long as the request is.
pub(super) type Shown = Option<Box<HeaderMap>>;

/// The fields of a request that answers depend on: the others have gone to the backend by then.
pub(super) fn shown_in_answers(fields: Fields<'_>) -> Shown {
    let mut shown: Shown = None;
    // One look at each: most requests have none of them.
    fields.for_each(|field| {
        let name = match field.name {
            b"content-type" => header::CONTENT_TYPE,
            b"origin" => header::ORIGIN,
            b"access-control-request-method" => header::ACCESS_CONTROL_REQUEST_METHOD,
            b"access-control-request-headers" => header::ACCESS_CONTROL_REQUEST_HEADERS,
            _ => return,
        };
        let shown = shown.get_or_insert_default();
        if let (Entry::Vacant(place), Ok(value)) = (shown.entry(name), HeaderValue::from_bytes(field.value)) {
            place.insert(value);
        }
    });
    shown
}

fn explain(error: UpstreamError) -> Rejection {
    if let Some(reason) = error.reason() {
        return Rejection::new(reason, error.to_string());
    }
    match error.into_request_body_error() {
        Ok(body) => match body.downcast_ref::<UploadError>() {
            Some(upload) => upload.rejection(),
            None => Rejection::new(Reason::RequestMalformed, "the request body failed"),
        },
        Err(error) => Rejection::new(Reason::UpstreamProtocol, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::core::head::RequestHead;
    use crate::core::path::CanonicalPath;

    /// It is sent as it came, without another look.
    #[test]
    fn a_target_that_may_be_let_through_is_fit_for_a_uri() {
        let (headers, mut fit) = (HeaderMap::new(), 0);
        for character in ('\0'..='\u{ff}').chain(['√', '😀']) {
            for target in [format!("/a{character}b"), format!("/a?{character}b"), format!("http://h/{character}")] {
                let head = RequestHead { method: &Method::GET, target: &target, headers: (&headers).into() };
                let Ok(found) = head.target() else { continue };
                if CanonicalPath::parse(found.raw_path).is_ok() {
                    let path = PathAndQuery::try_from(found.origin_form).unwrap();
                    assert_eq!(path.as_str(), found.origin_form);
                    fit += 1;
                }
            }
        }
        assert!(fit > 300, "{fit}");
    }
}
