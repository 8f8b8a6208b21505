//! One request on one connection, up to the response head.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{StatusCode, Version};
use http_body::Body;

use super::connection::Connection;
use super::head::{self, Head};
use super::incoming::Incoming;
use super::sending::{Sending, Stopped};
use crate::core::fields::Lines;
use crate::net::http1::head::Scan;
use crate::net::interim::Interim;
use crate::upstream::error::{BoxError, UpstreamError, UpstreamErrorKind};
use crate::upstream::exchange::{Failure, body_failure, late, poll_late};
use crate::upstream::framing::{self, Framed};
use crate::upstream::informational;
use crate::upstream::plan::{Plan, Ready};
use crate::upstream::request_body::RequestBody;

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 8 * 1024;

/// Why there is no response head.
enum NoHead {
    /// The client's body failed.
    Body,
    /// The connection ended, or failed.
    Closed(Option<io::Error>),
    /// What came is no response that can be passed on.
    Malformed(BoxError),
}

/// A response that is awaited.
struct Awaited<'a> {
    sink: Option<&'a Interim>,
    /// How much of the head was looked at.
    scan: Scan,
    /// Whether a byte came back.
    is_heard: bool,
    is_sent: bool,
}

/// Sends `request` and waits for the head of the response. Not an `async fn`, which would hold what it is given twice.
pub(in crate::upstream) fn exchange<B>(
    mut connection: Box<Connection>,
    mut request: Ready<B>,
    plan: &mut Plan,
) -> impl Future<Output = Result<Answered, Failure<B>>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let body = mem::replace(&mut request.body, RequestBody::empty());
    let mut sending = Sending::new(&connection.wire, &mut request, body, plan.length);
    async move {
        let mut awaited = Awaited { sink: plan.sink.as_ref(), scan: Scan::default(), is_heard: false, is_sent: false };
        let response = poll_fn(|cx| match awaited.poll(cx, &mut connection, &mut sending) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => poll_late(cx, plan, &mut connection.deadline).map(|()| None),
        })
        .await;
        let Awaited { is_heard, is_sent, .. } = awaited;
        match response {
            None => Err(late()),
            Some(Err(error)) => Err(explain(error, is_heard, connection.reused, sending, request, plan)),
            Some(Ok(Head { status, version, lines })) => {
                let framed = framing::of_response(status, version, &lines, plan.head);
                let framed = framed.map_err(|detail| Failure::Failed(protocol(detail)))?;
                connection.upload = (!is_sent).then(|| sending.go_on());
                Ok(Answered { status, version, framed, lines, incoming: Incoming::new(connection, framed.length) })
            }
        }
    }
}

/// A response whose head is there.
pub(in crate::upstream) struct Answered {
    pub(in crate::upstream) status: StatusCode,
    pub(in crate::upstream) version: Version,
    pub(in crate::upstream) framed: Framed,
    pub(in crate::upstream) lines: Lines,
    pub(in crate::upstream) incoming: Incoming,
}

impl Awaited<'_> {
    /// Sends on and reads on, for as long as neither has to be waited for.
    fn poll<B>(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
        sending: &mut Sending<B>,
    ) -> Poll<Result<Head, NoHead>>
    where
        B: Body<Data = Bytes> + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        if !self.is_sent {
            match sending.poll(cx) {
                Poll::Ready(Err(Stopped::Failed)) => return Poll::Ready(Err(NoHead::Body)),
                Poll::Ready(Ok(())) => self.is_sent = true,
                // A backend that wants no more of a request may have answered it before it closed.
                Poll::Ready(Err(Stopped::Unwanted)) => {
                    self.is_sent = true;
                    connection.is_spent = true;
                }
                Poll::Pending => {}
            }
        }
        self.poll_head(cx, connection)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<Head, NoHead>> {
        let Connection { wire, buffer, .. } = connection;
        loop {
            match head::take(buffer, &mut self.scan).map_err(|error| NoHead::Malformed(error.into()))? {
                Some(head) if !is_interim(head.status) => return Poll::Ready(Ok(head)),
                Some(head) => {
                    if let Some(sink) = self.sink {
                        informational::give(sink, head.status, head.lines);
                    }
                    continue;
                }
                None => {}
            }
            match ready!(wire.stream.poll_read_buf(cx, buffer, READ_BYTES)) {
                Ok(0) => return Poll::Ready(Err(NoHead::Closed(None))),
                Ok(_) => self.is_heard = true,
                Err(error) => return Poll::Ready(Err(NoHead::Closed(Some(error)))),
            }
        }
    }
}

fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

fn explain<B>(
    error: NoHead,
    is_heard: bool,
    is_reused: bool,
    sending: Sending<B>,
    mut request: Ready<B>,
    plan: &mut Plan,
) -> Failure<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let body_error = || body_failure(plan.upload.as_deref());
    let closed = match error {
        NoHead::Malformed(error) => {
            let because = UpstreamError::because(UpstreamErrorKind::Protocol, "the backend's answer is no HTTP", error);
            return Failure::Failed(because);
        }
        NoHead::Body => return body_error().unwrap_or_else(|| Failure::Failed(protocol("the client's body failed"))),
        NoHead::Closed(error) => error,
    };
    if let Some(failure) = body_error() {
        return failure;
    }
    let because = |detail| match closed {
        Some(error) => UpstreamError::because(UpstreamErrorKind::Protocol, detail, error),
        None => protocol(detail),
    };
    if is_heard {
        return Failure::Failed(because("the backend broke off its answer"));
    }
    let (is_begun, kept) = (sending.is_begun, sending.take_back());
    let may_go_again = is_reused && plan.may_go_again();
    if let Some((bytes, body)) = kept.filter(|_| !is_begun || may_go_again) {
        request.put_back(bytes);
        request.body = body;
        if is_begun {
            plan.fresh_only = true;
            return Failure::Unanswered(Some(request), because("the backend closed the connection without an answer"));
        }
        return Failure::Unsent(request, because("the connection to the backend was closed"));
    }
    Failure::Unanswered(None, because("the backend closed the connection without an answer"))
}

fn protocol(detail: &'static str) -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Protocol, detail)
}
