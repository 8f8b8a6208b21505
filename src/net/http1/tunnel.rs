//! A connection after its last answer as one of HTTP: 101 (RFC 9110 section 15.2.2).

use std::rc::Rc;

use http::Response;

use super::connection::Connection;
use super::encode::{self, Exchange, Framing};
use crate::net::drain::Drain;
use crate::net::service::Answer;
use crate::net::tunnel;

impl Connection {
    /// Sends `response`, and is a tunnel to whoever gave it until that ends. What the client has sent behind its request
    /// belongs to the new protocol: the backend is not sent any of it before it has agreed to that.
    pub(super) async fn tunnel<B: Answer>(mut self, exchange: Exchange, response: Response<B>, drain: &Drain) {
        let (parts, mut body) = response.into_parts();
        encode::head(&mut self.out.bytes, &exchange, parts.status, &parts.headers, None, Framing::NoBody);
        if self.flush().await.is_err() {
            return;
        }
        // The request has no body that anybody could still hold the transport for.
        if let (Some(tunnel), Some(transport)) = (body.take_tunnel(), Rc::into_inner(self.transport)) {
            tunnel::run(transport.into_stream(), tunnel, self.limits.idle, drain).await;
        }
    }
}
