//! One request on one connection, up to the response head, under its time limits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::error::{BoxError, UpstreamError, UpstreamErrorKind};
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
    /// Nothing of the request was sent. Boxed: it is large and rare.
    Unsent(Box<Request<RequestBody<B>>>, UpstreamError),
    /// The connection closed before a byte came back. What the backend did with the request is not known.
    Unanswered(UpstreamError),
    /// Anything else.
    Failed(UpstreamError),
}

/// Sends `request` and waits for the head of the response.
pub(super) async fn exchange<B>(
    connection: &mut Connection<B>,
    request: Request<RequestBody<B>>,
    limits: TimeLimits,
) -> Result<Response<Incoming>, Failure<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    connection.listen();
    let upload = request.body().upload();
    let response = {
        let response = connection.sender.try_send_request(request);
        until_late(response, upload.as_deref(), limits).await
    };
    match response {
        Some(Ok(response)) => Ok(response),
        Some(Err(error)) => Err(explain(error, upload, connection.heard())),
        None => {
            Err(Failure::Failed(UpstreamError::new(UpstreamErrorKind::Timeout, "the backend did not answer in time")))
        }
    }
}

/// `None` if it was too late.
async fn until_late<T>(response: impl Future<Output = T>, upload: Option<&Upload>, limits: TimeLimits) -> Option<T> {
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

fn explain<B>(mut error: TrySendError<Request<RequestBody<B>>>, upload: Option<Rc<Upload>>, heard: bool) -> Failure<B> {
    if let Some(body_error) = upload.and_then(|upload| upload.take_error()) {
        let kind = UpstreamErrorKind::RequestBody;
        return Failure::Failed(UpstreamError::because(kind, "the client's body ended in an error", body_error));
    }
    let message = error.take_message();
    let error = error.into_error();
    let parse = error.is_parse();
    let because = |detail| UpstreamError::because(UpstreamErrorKind::Protocol, detail, error);
    match message {
        Some(request) => Failure::Unsent(Box::new(request), because("the connection to the backend was closed")),
        None if !heard => Failure::Unanswered(because("the backend closed the connection without an answer")),
        None if parse => Failure::Failed(because("the backend's answer is no HTTP")),
        None => Failure::Failed(because("the backend broke off its answer")),
    }
}
