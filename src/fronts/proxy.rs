//! The proxy: a request comes in, the core decides, the answer goes out.

use std::future::pending;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::Entry;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Response, Version, header};
use http_body::Body;
use rustls::ServerConfig;

use super::authority::{self, ToAuthority};
use super::body::{AnswerBody, UploadBody, UploadError};
use super::exchanges::Exchanges;
use super::keys::Keys;
use super::record::Record;
use super::render::{self, Asked};
use super::request_id::RequestIds;
use super::serving::{Current, Serving};
use super::unreadable;
use crate::core::decision::{Decision, Outcome, Permit};
use crate::core::fields::Fields;
use crate::core::head::{RequestHead, split_authority};
use crate::core::rejection::{Reason, Rejection};
use crate::core::{Facts, KeysAsked, Need, decide};
use crate::live::keys::KeyRefresh;
use crate::live::memo::TokenMemo;
use crate::live::state::Live;
use crate::net::handshake::HandshakeError;
use crate::net::head::Head;
use crate::net::interim::Interim;
use crate::net::service::{self, Request, RequestBody, Service};
use crate::telemetry::access_log::WorkerLog;
use crate::telemetry::metrics::{Metrics, OpenConnection, WorkerMetrics};
use crate::upstream::headers::{Caller, ClientFacts, Scheme, address_value};
use crate::upstream::{Outgoing, OutgoingFields, OutgoingLines, ResponseBody, UpstreamError, Wishes};
use crate::worker::{Accepted, Connect};

/// Room for what is added to the fields of a request, in bytes: one allocation is enough for nearly all.
const OURS_BYTES: usize = 512;

/// What one worker needs to serve requests.
pub struct Worker {
    current: Current,
    exchanges: Rc<Exchanges>,
    memo: TokenMemo,
    keys: Keys,
    authority: ToAuthority,
    ids: RequestIds,
    metrics: WorkerMetrics,
    shared_metrics: Arc<Metrics>,
    log: WorkerLog,
}

impl Worker {
    /// A worker's part of the proxy. `memo_bytes_max` bounds its memory of verified tokens.
    #[must_use]
    pub fn new(
        live: Arc<Live>,
        keys: KeyRefresh,
        authority: ToAuthority,
        metrics: Arc<Metrics>,
        log: WorkerLog,
        memo_bytes_max: u64,
    ) -> Self {
        Self {
            exchanges: Exchanges::new(Arc::clone(&live)),
            current: Current::new(live),
            memo: TokenMemo::new(memo_bytes_max),
            keys: Keys::new(keys),
            authority,
            ids: RequestIds::new(),
            metrics: WorkerMetrics::new(&metrics),
            shared_metrics: metrics,
            log,
        }
    }

    pub(super) fn serving(&self) -> Rc<Serving> {
        self.current.get()
    }

    pub(super) fn exchanges(&self) -> &Rc<Exchanges> {
        &self.exchanges
    }

    pub(super) fn ids(&self) -> &RequestIds {
        &self.ids
    }

    pub(super) fn metrics(&self) -> &WorkerMetrics {
        &self.metrics
    }

    pub(super) fn log(&self) -> &WorkerLog {
        &self.log
    }

    /// One more connection of a client, until it is dropped.
    pub(super) fn connection(&self) -> OpenConnection {
        self.shared_metrics.connection()
    }

    /// The bounds of a connection that is accepted now.
    pub(super) fn limits(&self) -> service::Limits {
        let serving = self.serving();
        let limits = &serving.generation().limits;
        service::Limits { header_bytes: limits.header_bytes, request_head: limits.request_head, idle: limits.idle }
    }

    /// Counts a handshake.
    pub(super) fn handshake(&self, result: Result<(), &HandshakeError>) {
        self.shared_metrics.tls_handshake(match result {
            Ok(()) => "success",
            Err(HandshakeError::TooSlow) => "timeout",
            Err(HandshakeError::Failed(_) | HandshakeError::Silent) => "failure",
        });
    }

    /// Decides. Where that depends on keys which an issuer may have published since, it waits for them, once, and goes on
    /// under the generation that has them.
    pub(super) async fn decide(&self, head: &Head, record: &mut Record) -> Decision {
        let head = RequestHead { method: &head.method, target: head.target(), headers: head.fields() };
        let mut facts = Facts { memo: &self.memo, keys: KeysAsked::NotYet };
        loop {
            match decide(record.snapshot(), &head, &facts, record.arrived_at()) {
                Ok(decision) => return self.decided(decision, record),
                Err(Need::Keys(issuer)) => {
                    let serving = record.serving();
                    let issuer = serving.snapshot().issuers.get(issuer).map_or("", |issuer| &issuer.name);
                    facts.keys = self.keys.ask(issuer).await;
                    record.catch_up();
                }
            }
        }
    }

    /// A request that was let through all the same has not waited; the next may find the key there.
    fn decided(&self, decision: Decision, record: &Record) -> Decision {
        let missing = decision.trace.key_missing.filter(|_| decision.trace.shadowed.is_some());
        if let Some(issuer) = missing.and_then(|id| record.snapshot().issuers.get(id)) {
            self.keys.ask_in_background(&issuer.name);
        }
        decision
    }
}

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

    async fn call(&self, request: Request) -> Response<AnswerBody> {
        let Request { head, body, interim } = request;
        let mut record = Record::new(&self.worker, self.peer, &head);
        let shown = shown_in_answers(head.fields());
        if let Some(asked) = authority::asked(&record, self.listener, &head) {
            return match Box::pin(self.worker.authority.answer(asked, *head, body, &mut record)).await {
                Ok(response) => authority::finish(response, &shown, record),
                Err(rejection) => self.reject(rejection, record, &shown),
            };
        }

        let Decision { outcome, trace } = self.worker.decide(&head, &mut record).await;
        record.trace = trace;
        let outcome = match outcome {
            Outcome::Forward(permit) => {
                let is_connect = head.version == Version::HTTP_2 && head.upgrade.is_some();
                let response = match self.forward(permit, head, body, interim, &mut record) {
                    Ok(response) => response,
                    Err(rejection) => return self.reject(rejection, record, &shown),
                };
                let response = answered(pin!(response), &mut record).await;
                response.and_then(|response| if is_connect { refused_or_switched(response) } else { Ok(response) })
            }
            Outcome::Answer(answer) => {
                record.decided = false;
                let response = render::own_answer(record.snapshot(), answer, &asked(&record, &shown));
                return finish(response, record);
            }
            Outcome::Reject(rejection) => Err(rejection),
        };
        match outcome {
            Ok(mut response) => {
                forwarded(&mut response, &record, &shown);
                record.status = response.status().as_u16();
                response.map(|body| AnswerBody::upstream(body, record))
            }
            Err(rejection) => self.reject(rejection, record, &shown),
        }
    }

    fn refuse(&self, refusal: service::Refusal, head: Option<&Head>) -> Response<AnswerBody> {
        let (record, shown) = match head {
            Some(head) => (Record::new(&self.worker, self.peer, head), shown_in_answers(head.fields())),
            None => (Record::unreadable(&self.worker, self.peer), HeaderMap::new()),
        };
        self.reject(unreadable(refusal), record, &shown)
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
        let body = UploadBody::new(body, Rc::clone(&serving), bytes_max);
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
        let (authority, origin_form) = split_authority(head.target())?;
        let path = match (authority, origin_form) {
            // Of `http://host` it is no part.
            (Some(_), "/") => PathAndQuery::from_static("/"),
            // A copy: the buffer that the head stands in is given up while the backend works.
            _ => PathAndQuery::try_from(origin_form)
                .map_err(|_| Rejection::new(Reason::RequestMalformed, "the request target is too long for a URI"))?,
        };
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
            let mut lines = OutgoingLines::begin(&head.method, &path, head.bytes() + OURS_BYTES);
            policy.write_to_upstream(head.fields(), &caller, &client, |name, value| {
                if !is_settled_here(head.version, name) {
                    lines.put(name, value);
                }
            })?;
            OutgoingFields::Lines(lines)
        } else {
            let mut headers = policy.map_to_upstream(head.fields(), &caller, &client)?;
            for name in [header::EXPECT, header::SEC_WEBSOCKET_KEY] {
                if is_settled_here(head.version, name.as_str().as_bytes()) {
                    headers.remove(name);
                }
            }
            OutgoingFields::Map(headers)
        };
        Ok(Outgoing { method: head.method.clone(), path, fields, body })
    }

    fn reject(&self, rejection: Rejection, mut record: Box<Record>, shown: &HeaderMap) -> Response<AnswerBody> {
        let serving = record.serving();
        let snapshot = serving.snapshot();
        let refusal = render::Refusal::new(snapshot, &rejection, &record.trace);
        let response = render::rejection(snapshot, &refusal, &asked(&record, shown));
        record.rejection = Some(rejection);
        finish(response, record)
    }
}

/// Waits for a backend, for as long as the client whose token let the request in stands.
async fn answered(
    response: Pin<&mut impl Future<Output = Result<Response<ResponseBody>, UpstreamError>>>,
    record: &mut Record,
) -> Result<Response<ResponseBody>, Rejection> {
    let response = tokio::select! {
        biased;
        response = response => response.map_err(explain)?,
        rejection = fallen(record) => return Err(rejection),
    };
    if let Some((_, duration)) = &mut record.upstream {
        *duration = Some(response.body().waited());
    }
    Ok(response)
}

/// Returns when the client whose token let the request in does not stand any more.
async fn fallen(record: &Record) -> Rejection {
    match record.watch() {
        Some(place) => place.fallen().await,
        None => pending().await,
    }
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

/// Adds what is ours to a backend's answer.
fn forwarded(response: &mut Response<ResponseBody>, record: &Record, shown: &HeaderMap) {
    let snapshot = record.snapshot();
    if snapshot.cors.is_some() {
        // What is to be added depends on what is there.
        let lines = response.body_mut().take_lines();
        lines.iter().for_each(|lines| lines.append_to(response.headers_mut()));
    } else if let Some(lines) = response.body_mut().lines_mut() {
        // Ours is with the body, which knows the record.
        if Fields::from(&*lines).contains(&render::X_REQUEST_ID) {
            lines.retain(|name, _| name != render::X_REQUEST_ID.as_str().as_bytes());
        }
        return;
    }
    render::forwarded(snapshot, &asked(record, shown), response.headers_mut());
}

fn finish(response: Response<Bytes>, mut record: Box<Record>) -> Response<AnswerBody> {
    record.status = response.status().as_u16();
    response.map(|body| AnswerBody::own(body, record))
}

fn asked<'a>(record: &'a Record, shown: &'a HeaderMap) -> Asked<'a> {
    Asked { method: record.method(), headers: shown, request_id: record.request_id.as_str() }
}

/// Of the answers to a request for a tunnel over HTTP/2, which is a CONNECT there (RFC 8441), success says that there is one,
/// whatever is in it: a backend that has answered with a page instead has not agreed to anything.
fn refused_or_switched<B>(response: Response<B>) -> Result<Response<B>, Rejection> {
    match response.status().is_success() {
        true => {
            Err(Rejection::new(Reason::UpstreamProtocol, "the backend answered as if no upgrade had been asked for"))
        }
        false => Ok(response),
    }
}

/// The fields of a request that answers depend on: the others have gone to the backend by then.
pub(super) fn shown_in_answers(fields: Fields<'_>) -> HeaderMap {
    let mut shown = HeaderMap::new();
    // One look at each: most requests have none of them.
    for (name, value) in fields.iter() {
        let name = match name {
            b"content-type" => header::CONTENT_TYPE,
            b"origin" => header::ORIGIN,
            b"access-control-request-method" => header::ACCESS_CONTROL_REQUEST_METHOD,
            b"access-control-request-headers" => header::ACCESS_CONTROL_REQUEST_HEADERS,
            _ => continue,
        };
        if let (Entry::Vacant(place), Ok(value)) = (shown.entry(name), HeaderValue::from_bytes(value)) {
            place.insert(value);
        }
    }
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
