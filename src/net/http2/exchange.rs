//! One stream: its request, the answer, and what may be in between.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderValue, Method, Response, StatusCode};

use super::body::Body;
use super::head;
use super::send::{self, Content, Sender};
use crate::net::drain::Drain;
use crate::net::head::{Head, HeadError};
use crate::net::interim::Interim;
use crate::net::service::{Answer, Limits, Refusal, Request, RequestBody, Service};
use crate::net::stream_io::StreamIo;
use crate::net::tunnel;

/// Informational answers passed on for a request: `h2` keeps them all for a client that does not read.
const INTERIM_MAX: usize = 32;

/// One request and its answer.
pub(super) struct Exchange {
    pub(super) respond: SendResponse<Bytes>,
    pub(super) limits: Limits,
    pub(super) drain: Drain,
}

impl Exchange {
    /// Serves a request.
    pub(super) async fn serve<S: Service>(mut self, request: http::Request<RecvStream>, service: Rc<S>) {
        let is_head = request.method() == Method::HEAD;
        let (parts, stream) = request.into_parts();
        let head = match head::translate(parts, self.limits.header_bytes) {
            Ok(head) => Box::new(head),
            Err(error) => return self.answer(service.refuse(Refusal::Head(error), None), is_head, None).await,
        };
        let promised = match Promised::by(&head) {
            Ok(promised) => promised,
            Err(error) => return self.answer(service.refuse(Refusal::Head(error), Some(&head)), is_head, None).await,
        };
        let (request, kept) = self.request(head, promised, stream);
        let interim = request.interim.clone();
        if let Some(response) = self.response(&interim, service.call(request)).await {
            self.answer(response, is_head, kept).await;
        }
    }

    /// Answers a request without looking at it.
    pub(super) async fn refuse<S: Service>(self, service: &S, refusal: Refusal) {
        self.answer(service.refuse(refusal, None), false, None).await;
    }

    /// The request as everybody behind sees it, and what the client sends beside it if it asks for a tunnel.
    fn request(&self, head: Box<Head>, promised: Promised, stream: RecvStream) -> (Request, Option<RecvStream>) {
        let Promised { length, expects_continue } = promised;
        let interim = Interim::default();
        let (body, kept) = match head.upgrade {
            Some(_) => (Body::none(), Some(stream)),
            None => (Body::new(stream, length, interim.clone(), self.limits.idle), None),
        };
        let body = RequestBody::Http2(body.awaiting_continue(expects_continue));
        (Request { head, body, interim }, kept)
    }

    /// Drives the service to its answer, passing informational answers on; `None` if the client went away meanwhile,
    /// whereupon the service is dropped and with it what it had begun upstream.
    async fn response<F: Future>(&mut self, interim: &Interim, call: F) -> Option<F::Output> {
        let mut call = pin!(call);
        let mut passed_on = 0;
        poll_fn(|cx| {
            if self.respond.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            let called = call.as_mut().poll(cx);
            while let Poll::Ready(mut response) = interim.poll_next(cx) {
                if passed_on < INTERIM_MAX {
                    passed_on += 1;
                    send::clean(response.headers_mut());
                    let _ = self.respond.send_informational(response);
                }
            }
            called.map(Some)
        })
        .await
    }

    /// Sends an answer. What is left of the request's body when it is over is not wanted any more: its stream is dropped
    /// with the exchange, and `h2` tells the client so (RFC 9113 section 8.1).
    async fn answer<B: Answer>(mut self, response: Response<B>, is_head: bool, kept: Option<RecvStream>) {
        let (mut parts, mut body) = response.into_parts();
        if parts.status.is_informational() {
            let Some((kept, tunnel)) = kept.zip(body.take_tunnel()) else {
                return self.respond.send_reset(Reason::INTERNAL_ERROR);
            };
            // RFC 8441 section 5: what is 101 in HTTP/1.1.
            parts.status = StatusCode::OK;
            return self.tunnel(send::head(parts, Content::Some(None)), kept, tunnel).await;
        }
        if kept.is_some() && parts.status.is_success() {
            // To the client it would say that the tunnel is there (RFC 9110 section 9.3.6).
            return self.respond.send_reset(Reason::CONNECT_ERROR);
        }
        if let Some(lines) = body.take_lines() {
            lines.append_to(&mut parts.headers);
            if let Some((name, Ok(value))) = body.field().map(|(name, value)| (name, HeaderValue::from_bytes(value))) {
                parts.headers.insert(name, value);
            }
        }
        let content = send::content(is_head, parts.status, &body);
        let is_all = content == Content::None || body.is_end_stream();
        let Some(mut stream) = self.head(send::head(parts, content), is_all) else { return };
        if let (Content::Some(left), false) = (content, is_all) {
            let sender = Sender { stream: &mut stream, body: &mut body, left, idle: self.limits.idle };
            if let Some(reason) = sender.run().await.err().and_then(send::Failure::reason) {
                stream.send_reset(reason);
            }
        }
    }

    async fn tunnel(mut self, head: Response<()>, kept: RecvStream, tunnel: tunnel::Tunnel) {
        if let Some(stream) = self.head(head, false) {
            tunnel::run(StreamIo::new(kept, stream), tunnel, self.limits.idle, &self.drain).await;
        }
    }

    /// Sends the head of an answer; `None` if nobody wants it any more.
    fn head(&mut self, head: Response<()>, is_all: bool) -> Option<SendStream<Bytes>> {
        self.respond.send_response(head, is_all).ok()
    }
}

/// What a head says of the body.
struct Promised {
    length: Option<u64>,
    /// The client waits to be asked for it.
    expects_continue: bool,
}

impl Promised {
    fn by(head: &Head) -> Result<Self, HeadError> {
        Ok(Self { length: head::content_length(head)?, expects_continue: head.expects_continue()? })
    }
}
