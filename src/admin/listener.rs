//! The admin and the health listener, served like any other.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::Full;
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot};

use super::{AdminState, Call, Reply, Surface, answer, api, reloaded};
use crate::core::decision::Trace;
use crate::fronts::render::{self, Asked, Refusal};
use crate::fronts::request_id::RequestIds;
use crate::fronts::unreadable;
use crate::live::reload::{self, Reloaded};
use crate::net::handshake::HandshakeError;
use crate::net::head::Head;
use crate::net::service::{self, Limits, Request, Service};
use crate::worker::{Accepted, Connect};

/// What a probe, Prometheus or an operator needs.
const LIMITS: Limits =
    Limits { header_bytes: 32 * 1024, request_head: Duration::from_secs(10), idle: Duration::from_secs(60) };

/// Makes the service of each connection to the admin or the health listener.
pub struct Admin {
    state: Arc<AdminState>,
    surface: Surface,
    ids: Rc<RequestIds>,
    reload: mpsc::Sender<reload::Request>,
}

impl Admin {
    /// The service of one of the two listeners. `reload` is where reloads are asked for.
    #[must_use]
    pub fn new(state: Arc<AdminState>, surface: Surface, reload: mpsc::Sender<reload::Request>) -> Self {
        Self { state, surface, ids: Rc::default(), reload }
    }
}

impl Connect for Admin {
    type Service = AdminConnection;

    fn limits(&self) -> Limits {
        LIMITS
    }

    fn tls(&self, _listener: usize) -> Option<Arc<ServerConfig>> {
        None
    }

    fn handshake(&self, _result: Result<(), &HandshakeError>) {}

    fn connect(&self, accepted: &Accepted) -> AdminConnection {
        let peer = accepted.peer.ip().to_canonical();
        let (state, ids, reload) = (Arc::clone(&self.state), Rc::clone(&self.ids), self.reload.clone());
        AdminConnection { state, surface: self.surface, ids, reload, peer }
    }
}

/// The endpoints, as one connection sees them.
pub struct AdminConnection {
    state: Arc<AdminState>,
    surface: Surface,
    ids: Rc<RequestIds>,
    reload: mpsc::Sender<reload::Request>,
    peer: IpAddr,
}

impl AdminConnection {
    async fn reload(&self) -> Result<Reloaded, String> {
        let (reply, outcome) = oneshot::channel();
        let asked = self.reload.try_send(reload::Request::Reload(Some(reply)));
        asked.map_err(|_| "too many reloads are waiting already, or the gateway is about to end".to_owned())?;
        outcome.await.unwrap_or_else(|_| Err("the gateway is about to end".to_owned()))
    }
}

impl Service for AdminConnection {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request) -> Response<Full<Bytes>> {
        let head = request.head;
        let request_id = self.ids.of(head.headers());
        let call = Call {
            method: &head.method,
            target: head.target(),
            headers: head.headers(),
            peer: self.peer,
            request_id: request_id.as_str(),
            surface: self.surface,
        };
        let response = match answer(&self.state, &call) {
            Reply::Answer(response) => response,
            Reply::Reload => reloaded(&call, &self.reload().await),
            Reply::Api => api::answer(&self.state, &call, request.body).await,
        };
        response.map(Full::new)
    }

    fn refuse(&self, refusal: service::Refusal, head: Option<&Head>) -> Response<Full<Bytes>> {
        let none = HeaderMap::new();
        let (method, headers) = head.map_or((&Method::GET, &none), |head| (&head.method, head.headers()));
        let request_id = self.ids.of(headers);
        let (live, rejection, trace) = (self.state.live.load(), unreadable(refusal), Trace::default());
        let asked = Asked { method, headers, request_id: request_id.as_str() };
        render::rejection(&live.snapshot, &Refusal::new(&live.snapshot, &rejection, &trace), &asked).map(Full::new)
    }
}
