//! Sidegate as the authorizer of another proxy: the same decision as in the proxy, and nothing forwarded. What the other
//! proxy is to do is read off the permit.
//!
//! Two fronts ask here: `ext_authz` for Envoy and `forward_auth` for nginx, Traefik and Caddy. Both are
//! served on every worker, beside the proxy and with its memory of tokens.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use rustls::ServerConfig;

use super::proxy::shown_in_answers;
use super::record::Record;
use super::render::{self, Asked};
use super::worker::Worker;
use super::{ext_authz, forward_auth, unreadable};
use crate::core::decision::{Outcome, Permit};
use crate::core::rejection::{Reason, Rejection};
use crate::net::handshake::HandshakeError;
use crate::net::head::Head;
use crate::net::service::{self, Answer, Clients, Request, Service};
use crate::telemetry::metrics::OpenConnection;
use crate::upstream::headers::Caller;
use crate::worker::{Accepted, Connect};

/// How a listener is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `envoy.service.auth.v3.Authorization`, over gRPC.
    ExtAuthz,
    /// A subrequest with the original request in its header fields, answered by status and header fields.
    ForwardAuth,
}

/// Makes the service of each connection of another proxy.
pub struct Authz {
    worker: Rc<Worker>,
    /// How each listener is asked, in their order.
    protocols: Box<[Protocol]>,
}

impl Authz {
    /// For listeners that are asked so, in this order.
    #[must_use]
    pub fn new(worker: Rc<Worker>, protocols: Box<[Protocol]>) -> Self {
        Self { worker, protocols }
    }
}

impl Connect for Authz {
    type Service = AuthzConnection;

    fn limits(&self) -> service::Limits {
        self.worker.limits()
    }

    fn tls(&self, _listener: usize) -> Option<Arc<ServerConfig>> {
        let serving = self.worker.serving();
        let tls = serving.generation().authz.tls.as_ref()?;
        Some(Arc::clone(&tls.config))
    }

    fn handshake(&self, result: Result<(), &HandshakeError>) {
        self.worker.handshake(result);
    }

    fn connect(&self, accepted: &Accepted) -> AuthzConnection {
        AuthzConnection {
            worker: Rc::clone(&self.worker),
            protocol: self.protocols.get(accepted.listener).copied().unwrap_or(Protocol::ForwardAuth),
            peer: accepted.peer.ip().to_canonical(),
            is_unix: accepted.is_unix,
            _open: self.worker.connection(),
        }
    }
}

/// The connection of another proxy.
pub struct AuthzConnection {
    pub(super) worker: Rc<Worker>,
    protocol: Protocol,
    pub(super) peer: IpAddr,
    is_unix: bool,
    _open: OpenConnection,
}

impl Service for AuthzConnection {
    type Body = AuthzBody;

    const CLIENTS: Clients = Clients::Proxies;

    async fn call(&self, request: Request) -> Response<AuthzBody> {
        match self.protocol {
            Protocol::ExtAuthz => ext_authz::call(self, request).await,
            Protocol::ForwardAuth => forward_auth::call(self, *request.head).await,
        }
    }

    fn refuse(&self, refusal: service::Refusal, head: Option<&Head>) -> Response<AuthzBody> {
        let (mut record, method) = match head {
            Some(head) => (Record::new(&self.worker, self.peer, head), head.method.clone()),
            None => (Record::unreadable(&self.worker, self.peer), Method::GET),
        };
        let response = reject(unreadable(refusal), &mut record, &method, &HeaderMap::new());
        response.map(|body| AuthzBody::new(body, None, record))
    }
}

impl AuthzConnection {
    /// Whether the peer may ask, and is believed about what it asks. Who reaches a Unix socket may.
    pub(super) fn may_ask(&self) -> bool {
        self.is_unix || self.worker.serving().generation().authz.allows(self.peer)
    }

    /// The record of a request of which nothing is decided.
    pub(super) fn undecided(&self, head: &Head, status: StatusCode) -> Box<Record> {
        let mut record = Record::new(&self.worker, self.peer, head);
        record.decided = false;
        record.status = status.as_u16();
        record
    }
}

/// What another proxy is told about a request.
pub(super) enum Verdict {
    /// Forward it.
    Forward(Instructions),
    /// Answer it with this. It need not be a refusal: some answers are the gateway's own.
    Answer(Response<Bytes>),
}

/// How a request is to be forwarded.
pub(super) struct Instructions {
    /// Header fields to set, in the place of any of the same name.
    pub(super) set: HeaderMap,
    /// Header fields to take out.
    pub(super) remove: Vec<HeaderName>,
    /// Header fields to put on the answer.
    pub(super) answer: HeaderMap,
}

/// Decides about a request that somebody else forwards. `body_bytes` is the length of its body, if that is known, and
/// `asked_with` the method of the request that is answered.
pub(super) async fn judge(
    worker: &Worker,
    head: &Head,
    body_bytes: Option<u64>,
    record: &mut Record,
    asked_with: &Method,
) -> Verdict {
    let permit = match worker.decide(head, record).await {
        Outcome::Forward(permit) => permit,
        Outcome::Answer(answer) => {
            record.decided = false;
            let shown = shown_in_answers(head.fields()).unwrap_or_default();
            let response = render::own_answer(record.snapshot(), answer, &asked(record, asked_with, &shown));
            record.status = response.status().as_u16();
            return Verdict::Answer(response);
        }
        Outcome::Reject(rejection) => return Verdict::Answer(reject(rejection, record, asked_with, head.headers())),
    };
    if permit.body_bytes_max().is_some_and(|max| body_bytes.is_some_and(|bytes| bytes > max)) {
        let rejection = Rejection::new(Reason::BodyTooLarge, "the request body is longer than allowed");
        return Verdict::Answer(reject(rejection, record, asked_with, head.headers()));
    }
    record.status = StatusCode::OK.as_u16();
    Verdict::Forward(instructions(&permit, head, record, asked_with))
}

fn instructions(permit: &Permit, head: &Head, record: &Record, asked_with: &Method) -> Instructions {
    let serving = record.serving();
    let set = serving.policy.identity(&Caller::from(permit), record.request_id.value());
    let remove = serving.policy.not_to_forward(head.headers(), &set);
    let mut answer = HeaderMap::new();
    render::forwarded(serving.snapshot(), &asked(record, asked_with, head.headers()), &mut answer);
    Instructions { set, remove, answer }
}

/// The answer to a request that is refused. `shown` are its header fields.
pub(super) fn reject(
    rejection: Rejection,
    record: &mut Record,
    asked_with: &Method,
    shown: &HeaderMap,
) -> Response<Bytes> {
    let serving = record.serving();
    let snapshot = serving.snapshot();
    let refusal = render::Refusal::new(snapshot, &rejection, &record.trace);
    let response = render::rejection(snapshot, &refusal, &asked(record, asked_with, shown));
    record.status = response.status().as_u16();
    record.rejection = Some(rejection);
    response
}

fn asked<'a>(record: &'a Record, method: &'a Method, headers: &'a HeaderMap) -> Asked<'a> {
    Asked { method, headers, request_id: record.request_id.as_str() }
}

/// The body of an answer to another proxy. When it is sent, or dropped, the request goes into log and metrics.
pub struct AuthzBody {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
    record: Box<Record>,
}

impl AuthzBody {
    pub(super) fn new(data: Bytes, trailers: Option<HeaderMap>, record: Box<Record>) -> Self {
        Self { data: Some(data).filter(|data| !data.is_empty()), trailers, record }
    }
}

impl Answer for AuthzBody {}

impl Body for AuthzBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(data) = self.data.take() {
            self.record.bytes_out += data.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.trailers {
            // With trailers behind it, the length is not said in advance.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.data.as_ref().map_or(0, |data| data.len() as u64)),
        }
    }
}
