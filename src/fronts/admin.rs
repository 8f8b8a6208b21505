//! The admin and the health listener, served like any other.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Full;

use super::request_id::RequestIds;
use crate::admin::{AdminState, Call, Surface, answer};
use crate::net::http1::{Refusal, Request, Service};
use crate::worker::Connect;

/// Makes the service of each connection to the admin or the health listener.
pub struct Admin {
    state: Arc<AdminState>,
    surface: Surface,
    ids: Rc<RequestIds>,
}

impl Admin {
    /// # Errors
    /// The operating system has no randomness to give.
    pub fn new(state: Arc<AdminState>, surface: Surface) -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self { state, surface, ids: Rc::new(RequestIds::new()?) })
    }
}

impl Connect for Admin {
    type Service = AdminConnection;

    fn connect(&self, peer: SocketAddr, _local: SocketAddr) -> AdminConnection {
        let peer = peer.ip().to_canonical();
        AdminConnection { state: Arc::clone(&self.state), surface: self.surface, ids: Rc::clone(&self.ids), peer }
    }
}

/// The endpoints, as one connection sees them.
pub struct AdminConnection {
    state: Arc<AdminState>,
    surface: Surface,
    ids: Rc<RequestIds>,
    peer: IpAddr,
}

impl AdminConnection {
    fn answer(&self, method: &Method, target: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let request_id = self.ids.of(headers);
        let request_id = request_id.to_str().unwrap_or_default();
        let call = Call { method, target, headers, peer: self.peer, request_id, surface: self.surface };
        answer(&self.state, &call).map(Full::new)
    }
}

impl Service for AdminConnection {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request) -> Response<Full<Bytes>> {
        let head = request.head;
        self.answer(&head.method, head.target(), &head.headers)
    }

    fn refuse(&self, refusal: Refusal) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = match refusal {
            Refusal::Head(_) => StatusCode::BAD_REQUEST,
            Refusal::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
        };
        response
    }
}
