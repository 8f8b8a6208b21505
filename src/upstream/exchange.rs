//! One request on one connection, up to the response head, under its time limits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
use super::http1;
use super::http2;
use super::link::{Incoming, Link};
use super::plan::{Plan, Ready};
use super::replay::ReplayMemory;
use super::request_body::{Stage, Upload};
use crate::net::deadline::Deadline;

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
    /// Nothing of the request was sent, or nothing was looked at.
    Unsent(Ready<B>, UpstreamError),
    /// The connection closed before a byte came back. What the backend did with the request is not known. It is here
    /// again if it may be sent again all the same.
    Unanswered(Option<Ready<B>>, UpstreamError),
    /// Anything else.
    Failed(UpstreamError),
}

/// A response whose head is there.
pub(super) enum Answered {
    /// In HTTP/1.1: its framing is settled.
    Http1(http1::Answered),
    /// In HTTP/2, or a tunnel.
    Http2(Response<Incoming>),
}

/// Sends `request` and waits for the head of the response.
pub(super) async fn exchange<B>(
    link: Link,
    request: Ready<B>,
    plan: &mut Plan,
    memory: &ReplayMemory,
) -> Result<Answered, Failure<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    match link {
        Link::Http1(connection) => Ok(Answered::Http1(http1::exchange(connection, request, plan).await?)),
        Link::Http2(place) => Ok(Answered::Http2(Box::pin(http2::exchange(place, request, plan, memory)).await?)),
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
pub(super) async fn until_late<T>(response: impl Future<Output = T>, plan: &Plan, timer: &mut Deadline) -> Option<T> {
    let mut response = pin!(response);
    poll_fn(|context| match response.as_mut().poll(context) {
        Poll::Ready(response) => Poll::Ready(Some(response)),
        Poll::Pending => poll_late(context, plan, timer).map(|()| None),
    })
    .await
}

/// Ready once it is too late for a response.
pub(super) fn poll_late(context: &mut Context<'_>, plan: &Plan, timer: &mut Deadline) -> Poll<()> {
    let (upload, limits, started) = (plan.upload.as_deref(), plan.limits, plan.connected);
    loop {
        let at = match upload.map_or(Stage::Ended(started), |upload| upload.stage_or_wake(context)) {
            // Its silence is the front's business; looked at again, since nobody tells when that changes.
            Stage::Client => Instant::now() + limits.idle,
            Stage::Backend(since) => since + limits.idle,
            Stage::Ended(since) => since + limits.head,
        };
        ready!(timer.poll(context, at));
        if !matches!(upload.map(Upload::stage), Some(Stage::Client)) {
            return Poll::Ready(());
        }
    }
}
