//! One request on one connection, up to the response head, under its time limits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
use super::http2;
use super::link::{Incoming, Link};
use super::plan::Plan;
use super::replay::{Replay, ReplayMemory};
use super::request_body::{RequestBody, Stage, Upload};

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimeLimits {
    /// From the request's last byte to the response head.
    pub(super) head: Duration,
    /// Longest silence within a body.
    pub(super) idle: Duration,
}

/// Why there is no response, and what may be done about it.
pub(super) enum Failure<B> {
    /// Nothing of the request was sent, or nothing was looked at. Boxed: it is large and rare.
    Unsent(Box<Request<RequestBody<B>>>, UpstreamError),
    /// The connection closed before a byte came back. What the backend did with the request is not known. It is here
    /// again if it may be sent again all the same.
    Unanswered(Option<Box<Request<RequestBody<B>>>>, UpstreamError),
    /// Anything else.
    Failed(UpstreamError),
}

/// Sends `request` and waits for the head of the response.
pub(super) async fn exchange<B>(
    link: &mut Link<B>,
    request: Request<RequestBody<B>>,
    plan: &mut Plan,
    memory: &ReplayMemory,
) -> Result<Response<Incoming>, Failure<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    match link {
        Link::Http1(connection) => over_http1(connection, request, plan, memory).await,
        Link::Http2(place) => http2::exchange(place, request, plan, memory).await,
    }
}

async fn over_http1<B>(
    connection: &mut Connection<B>,
    request: Request<RequestBody<B>>,
    plan: &mut Plan,
    memory: &ReplayMemory,
) -> Result<Response<Incoming>, Failure<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    connection.listen();
    let upload = request.body().upload();
    let replay = (connection.reused && plan.may_go_again()).then(|| Replay::of(&request, memory));
    let response = {
        let response = connection.sender.try_send_request(request);
        until_late(response, upload.as_deref(), plan.limits).await
    };
    match response {
        Some(Ok(response)) => Ok(response.map(Incoming::Http1)),
        Some(Err(error)) => {
            let again = || replay.map(|replay| plan.again(replay));
            Err(explain(error, upload, connection.heard(), again))
        }
        None => Err(late()),
    }
}

/// There was no answer in time.
pub(super) fn late<B>() -> Failure<B> {
    Failure::Failed(UpstreamError::new(UpstreamErrorKind::Timeout, "the backend did not answer in time"))
}

/// The error that the client's body ended in, if it did: whatever else went wrong went wrong for it.
pub(super) fn body_failure<B>(upload: Option<&Upload>) -> Option<Failure<B>> {
    let error = upload?.take_error()?;
    let kind = UpstreamErrorKind::RequestBody;
    Some(Failure::Failed(UpstreamError::because(kind, "the client's body ended in an error", error)))
}

/// `None` if it was too late.
pub(super) async fn until_late<T>(
    response: impl Future<Output = T>,
    upload: Option<&Upload>,
    limits: TimeLimits,
) -> Option<T> {
    let started = Instant::now();
    let mut response = pin!(response);
    let mut timer = pin!(sleep_until(started + limits.head));
    poll_fn(|context: &mut Context<'_>| {
        if let Poll::Ready(response) = response.as_mut().poll(context) {
            return Poll::Ready(Some(response));
        }
        loop {
            let now = Instant::now();
            let deadline = match upload.map_or(Stage::Ended(started), |upload| upload.stage_or_wake(context)) {
                // Its silence is the front's business; looked at again, since nobody tells when that changes.
                Stage::Client => now + limits.idle,
                Stage::Backend(since) => since + limits.idle,
                Stage::Ended(since) => since + limits.head,
            };
            if deadline <= now {
                return Poll::Ready(None);
            }
            if timer.deadline() != deadline {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(context));
        }
    })
    .await
}

fn explain<B>(
    mut error: TrySendError<Request<RequestBody<B>>>,
    upload: Option<Rc<Upload>>,
    heard: bool,
    again: impl FnOnce() -> Option<Box<Request<RequestBody<B>>>>,
) -> Failure<B> {
    if let Some(failure) = body_failure(upload.as_deref()) {
        return failure;
    }
    let message = error.take_message();
    let error = error.into_error();
    if error.is_body_write_aborted() {
        let kind = UpstreamErrorKind::RequestBody;
        return Failure::Failed(UpstreamError::because(kind, "the client's body was shorter than its length", error));
    }
    let parse = error.is_parse();
    let because = |detail| UpstreamError::because(UpstreamErrorKind::Protocol, detail, error);
    match message {
        Some(request) => Failure::Unsent(Box::new(request), because("the connection to the backend was closed")),
        None if !heard => Failure::Unanswered(again(), because("the backend closed the connection without an answer")),
        None if parse => Failure::Failed(because("the backend's answer is no HTTP")),
        None => Failure::Failed(because("the backend broke off its answer")),
    }
}
