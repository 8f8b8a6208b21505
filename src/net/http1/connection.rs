//! The life of a connection: head, answer, the rest of the body, and again.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Response, StatusCode, Version};
use http_body::Body as _;
use tokio::task::consume_budget;
use tokio::time::{Instant, timeout};

use super::body::Body;
use super::encode::{self, Exchange};
use super::framing;
use super::head::{self, Scan};
use super::send::{GATHER_BYTES_MAX, Unsent};
use super::transport::{Remaining, Transport};
use crate::net::deadline::Deadline;
use crate::net::drain::{Drain, Seat};
use crate::net::head::{Head, HeadError};
use crate::net::interim::Interim;
use crate::net::service::{Answer, Limits, Refusal, Request, RequestBody, Service};
use crate::net::stream::{ReadAhead, Stream};
use crate::net::upgrade;

/// How much of a body that nobody wants is read over to keep the connection.
const DISCARD_BYTES_MAX: usize = 256 * 1024;
/// How long that may take.
const DISCARD: Duration = Duration::from_secs(2);

/// What HTTP/2 without TLS begins with, as a reader of HTTP/1.1 sees it: the head of a request that nobody can mean
/// (RFC 9113 section 3.4).
const HTTP2_PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Why a head is refused that began to come and did not end. Not 408: whoever reads the log looks for one reason with
/// one status, and a client that is this slow hardly ever reads either.
const TOO_SLOW: HeadError = HeadError::Malformed("the request head did not arrive in time");

/// Serves the requests of one connection until either side ends it. `Some` if the client turns out to speak HTTP/2, which
/// it knows without having asked (RFC 9113 section 3.3): then the stream is as it came, and nothing was answered.
///
/// The connection is made before there is a future, which would have to have room for all that it is made of as well: there
/// may be many.
pub fn serve<S: Service>(
    stream: Stream,
    service: &S,
    limits: Limits,
    drain: &Drain,
) -> impl Future<Output = Option<Box<ReadAhead<Stream>>>> {
    let (mut connection, seat, mut is_first) = (Connection::new(stream, limits), drain.seat(), true);
    async move {
        loop {
            let mut until = None;
            if !poll_fn(|cx| connection.poll_begun(cx, &mut until, is_first, &seat)).await {
                connection.transport.stream.close();
                return None;
            }
            is_first = false;
            // On the heap, for as long as there is a request: connections that wait for one do not carry the room.
            match Box::pin(connection.turn(service, drain)).await {
                Turn::Again => {}
                Turn::Over => {
                    connection.transport.stream.close();
                    return None;
                }
                Turn::Broken => return None,
                Turn::Http2 => {
                    return Rc::into_inner(connection.transport).map(|transport| Box::new(transport.into_stream()));
                }
                Turn::Switched(switched) => {
                    let (exchange, response) = *switched;
                    Box::pin(connection.tunnel(exchange, response, drain)).await;
                    return None;
                }
            }
            // With requests at hand and answers of our own nothing else in a turn waits, and the worker's other connections
            // would have to.
            consume_budget().await;
        }
    }
}

/// Answers a connection without reading from it, and closes it.
pub async fn refuse<S: Service>(stream: Stream, service: &S, limits: Limits, refusal: Refusal) {
    Connection::new(stream, limits).refuse(service, refusal, None).await;
}

/// Whether a connection goes on after a request, and as what.
enum Turn<B> {
    Again,
    Over,
    /// It breaks off within an answer: whatever is done to end it must not make that look complete.
    Broken,
    /// It is no connection of HTTP/1.1.
    Http2,
    /// It is none of HTTP once this answer is sent.
    Switched(Box<(Exchange, Response<B>)>),
}

/// What came in place of a request.
enum NoHead {
    Closed,
    Bad(HeadError),
    Http2,
}

pub(super) struct Connection {
    pub(super) transport: Rc<Transport>,
    pub(super) out: Unsent,
    pub(super) limits: Limits,
    pub(super) deadline: Deadline,
    /// Whether what comes next may be the preface of HTTP/2. Over TLS that is settled in the handshake.
    may_be_http2: bool,
}

impl Connection {
    fn new(stream: Stream, limits: Limits) -> Self {
        let may_be_http2 = !stream.is_tls();
        let transport = Rc::new(Transport::new(stream));
        Self { transport, out: Unsent::default(), limits, deadline: Deadline::default(), may_be_http2 }
    }

    /// One request and its answer.
    async fn turn<S: Service>(&mut self, service: &S, drain: &Drain) -> Turn<S::Body> {
        let mut head = match self.head().await {
            Ok(head) => head,
            Err(NoHead::Closed) => return Turn::Over,
            Err(NoHead::Http2) => return Turn::Http2,
            Err(NoHead::Bad(error)) => return Box::pin(self.refuse(service, Refusal::Head(error), None)).await,
        };
        self.may_be_http2 = false;
        let exchange = match self.begin(&mut head) {
            Ok(exchange) => exchange,
            Err(error) => return Box::pin(self.refuse(service, Refusal::Head(error), Some(&head))).await,
        };
        // Made for each request: connections that wait for one do not carry it.
        let interim = Interim::default();
        let body = Body::new(Rc::clone(&self.transport), interim.clone(), self.limits.idle);
        let request = Request { head, body: RequestBody::Http1(body), interim: interim.clone() };
        let Some(response) = self.ask(&exchange, service, request, &interim).await else { return Turn::Over };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Turn::Switched(Box::new((exchange, response)));
        }
        self.answer(exchange, response, drain).await
    }

    /// Sends an answer, and readies the connection for the next request.
    async fn answer<B: Answer>(&mut self, mut exchange: Exchange, response: Response<B>, drain: &Drain) -> Turn<B> {
        let (parts, mut body) = response.into_parts();
        exchange.keep_alive &= !drain.is_started() && !encode::asks_to_close(&parts.headers) && self.is_readable();
        let sent = self.send(&mut exchange, &parts, &mut body).await;
        // The request is over with its answer, whatever the connection waits for now.
        drop(body);
        let body_is_done = matches!(self.transport.inbound.borrow().body, Remaining::Nothing);
        match sent {
            Err(_) => Turn::Broken,
            Ok(()) if exchange.keep_alive && body_is_done => Turn::Again,
            Ok(()) => Box::pin(self.end(exchange.keep_alive)).await,
        }
    }

    /// Waits for the first byte of a request; false if there will be none. Until there is one the connection is idle, and
    /// ends with the worker.
    fn poll_begun(
        &mut self,
        cx: &mut Context<'_>,
        until: &mut Option<Instant>,
        is_first: bool,
        drain: &Seat,
    ) -> Poll<bool> {
        if !self.transport.inbound.borrow().buffer.is_empty() {
            return Poll::Ready(true);
        }
        if let Poll::Ready(filled) = self.transport.poll_fill_head(cx) {
            return Poll::Ready(filled.is_ok_and(|bytes| bytes > 0));
        }
        let wait = if is_first { self.limits.request_head } else { self.limits.idle };
        let until = *until.get_or_insert_with(|| Instant::now() + wait);
        let is_over = drain.poll_started(cx).is_ready() || self.deadline.poll(cx, until).is_ready();
        if is_over { Poll::Ready(false) } else { Poll::Pending }
    }

    /// The head of a request that has begun to come.
    async fn head(&mut self) -> Result<Box<Head>, NoHead> {
        let (mut scan, mut until) = (Scan::default(), None);
        let Self { transport, deadline, limits, may_be_http2, .. } = self;
        let bytes = poll_fn(|cx| {
            loop {
                if let Some(bytes) = take_head(transport, &mut scan, limits, *may_be_http2)? {
                    return Poll::Ready(Ok(bytes));
                }
                match transport.poll_fill_head(cx) {
                    Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Err(NoHead::Closed)),
                    Poll::Pending => {
                        let until = *until.get_or_insert_with(|| Instant::now() + limits.request_head);
                        return deadline.poll(cx, until).map(|()| Err(NoHead::Bad(TOO_SLOW)));
                    }
                }
            }
        })
        .await?;
        head::parse(bytes, scan).map(Box::new).map_err(NoHead::Bad)
    }

    /// Readies the connection for a request's body.
    fn begin(&self, head: &mut Head) -> Result<Exchange, HeadError> {
        head.check_host()?;
        let length = framing::of_request(head.version, head.fields())?;
        head.upgrade = upgrade::of_http1(head, length)?;
        let expects_continue = head.expects_continue()?;
        let inbound = &mut *self.transport.inbound.borrow_mut();
        inbound.begin_generation();
        inbound.body = length.into();
        inbound.awaits_continue = expects_continue && !matches!(inbound.body, Remaining::Nothing);
        Ok(Exchange { is_head: head.method == Method::HEAD, version: head.version, keep_alive: wants_keep_alive(head) })
    }

    /// Whether the next request can be found behind the present one. A client that waits for `100 Continue` may send
    /// the body after all, or not: nobody could tell where it ends. And a body that is too long to be read over had
    /// better not be promised to be.
    fn is_readable(&self) -> bool {
        let inbound = self.transport.inbound.borrow();
        let too_long = match inbound.body {
            Remaining::Exact(left) => left > DISCARD_BYTES_MAX as u64,
            Remaining::Broken => true,
            Remaining::Nothing | Remaining::Chunked(_) => false,
        };
        !(inbound.awaits_continue || too_long)
    }

    /// Drives the service to its answer, passing informational answers on; `None` if the client went away meanwhile,
    /// whereupon the service is dropped and with it what it had begun upstream.
    async fn ask<S: Service>(
        &mut self,
        exchange: &Exchange,
        service: &S,
        request: Request,
        interim: &Interim,
    ) -> Option<Response<S::Body>> {
        let mut call = pin!(service.call(request));
        let pipelined_bytes_max = self.limits.header_bytes;
        poll_fn(|cx| {
            let called = call.as_mut().poll(cx);
            while let Poll::Ready(response) = interim.poll_next(cx) {
                // RFC 9110 section 15.2: a client of HTTP/1.0 takes the first answer for the last. A client that does not
                // read misses some, rather than having them pile up here.
                if exchange.version == Version::HTTP_11 && self.out.rest().len() < GATHER_BYTES_MAX {
                    encode::interim(&mut self.out.bytes, response.status(), response.headers());
                }
            }
            if let Poll::Ready(response) = called {
                return Poll::Ready(Some(response));
            }
            match self.poll_flush(cx) {
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            // Looks for the client, and gives the head's buffer back, unless the request was not forwarded yet.
            self.transport.poll_gone(cx, pipelined_bytes_max).map(|()| None)
        })
        .await
    }

    /// Reads over what is left of the request's body, so that the next request can be found behind it, or closes.
    async fn end<B>(&mut self, keep_alive: bool) -> Turn<B> {
        if keep_alive && self.discard_body().await {
            return Turn::Again;
        }
        self.transport.stream.linger().await;
        Turn::Over
    }

    /// Whether the end of the body was reached within bounds.
    async fn discard_body(&mut self) -> bool {
        // Whoever still holds the body must not read on.
        self.transport.inbound.borrow_mut().begin_generation();
        let mut body = Body::new(Rc::clone(&self.transport), Interim::default(), DISCARD);
        let mut left = DISCARD_BYTES_MAX;
        let discard = async {
            loop {
                match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => {
                        let bytes = frame.data_ref().map_or(0, Bytes::len);
                        let Some(rest) = left.checked_sub(bytes) else { return false };
                        left = rest;
                    }
                }
            }
        };
        timeout(DISCARD, discard).await.unwrap_or(false)
    }

    async fn refuse<S: Service>(&mut self, service: &S, refusal: Refusal, head: Option<&Head>) -> Turn<S::Body> {
        self.transport.inbound.borrow_mut().body = Remaining::Broken;
        let is_head = head.is_some_and(|head| head.method == Method::HEAD);
        let mut exchange = Exchange { is_head, version: Version::HTTP_11, keep_alive: false };
        let (parts, mut body) = service.refuse(refusal, head).into_parts();
        let sent = self.send(&mut exchange, &parts, &mut body).await;
        drop(body);
        if sent.is_err() {
            return Turn::Broken;
        }
        self.transport.stream.linger().await;
        Turn::Over
    }
}

/// The bytes of a head, once all of them are there.
fn take_head(
    transport: &Transport,
    scan: &mut Scan,
    limits: &Limits,
    may_be_http2: bool,
) -> Result<Option<BytesMut>, NoHead> {
    let buffer = &mut transport.inbound.borrow_mut().buffer;
    scan.skip_empty_line(buffer);
    let Some(length) = scan.request_end(buffer, limits.header_bytes).map_err(NoHead::Bad)? else { return Ok(None) };
    if may_be_http2 && buffer.get(..length) == Some(HTTP2_PREFACE_HEAD) {
        return Err(NoHead::Http2);
    }
    Ok(Some(buffer.split_to(length)))
}

/// Whether the client wants to go on after this request (RFC 9112 section 9.3).
fn wants_keep_alive(head: &Head) -> bool {
    let asks = |token| head.fields().all(&http::header::CONNECTION).any(|value| encode::has_token(value, token));
    !asks("close") && (head.version == Version::HTTP_11 || asks("keep-alive"))
}
