//! One request on one stream, up to the response head.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Body;

use super::connection::Place;
use super::incoming::Incoming;
use super::upload::Upload;
use super::{cause, request};
use crate::net::deadline::Deadline;
use crate::net::interim::Interim;
use crate::net::stream_io::StreamIo;
use crate::upstream::error::{BoxError, UpstreamError, UpstreamErrorKind};
use crate::upstream::exchange::{Failure, body_failure, late, until_late};
use crate::upstream::informational;
use crate::upstream::link;
use crate::upstream::plan::{Plan, Ready};
use crate::upstream::replay::{Replay, ReplayMemory};
use crate::upstream::request_body::RequestBody;

/// What is needed to send a request again.
struct Sent<'a, B> {
    head: Replay<'a>,
    rest: Rest<B>,
}

/// What goes behind a head.
enum Rest<B> {
    Nothing,
    Body(Upload<B>),
    /// Whatever is spoken instead, once the backend has agreed to it.
    Tunnel(SendStream<Bytes>),
}

/// A response that is awaited.
struct Awaited<'a> {
    response: ResponseFuture,
    sink: Option<&'a Interim>,
    /// Whether an informational response came.
    is_heard: bool,
}

/// What became of a request whose stream has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The backend has not looked at it (RFC 9113 section 8.7).
    Unprocessed,
    /// The connection is gone, and what the backend did is not known.
    Unknown,
    /// The backend has failed, in that way.
    Failed(&'static str),
}

/// Sends `request` and waits for the head of the response.
pub(in crate::upstream) async fn exchange<B>(
    place: Place,
    request: Ready<B>,
    plan: &mut Plan,
    memory: &ReplayMemory,
) -> Result<Response<link::Incoming>, Failure<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let request = request.into_http().map_err(Failure::Failed)?;
    let (response, sent) = send(&place, request, plan, memory).await?;
    let mut awaited = Awaited { response, sink: plan.sink.as_ref(), is_heard: false };
    let head = poll_fn(|context| awaited.poll(context));
    match until_late(head, plan, &mut Deadline::default()).await {
        Some(Ok(response)) => Ok(answered(place, response, sent.rest)),
        Some(Err(error)) => {
            let fate = fate(&error, awaited.is_heard);
            Err(failure(fate, error, sent, plan, place.is_reused()))
        }
        None => Err(late()),
    }
}

fn answered<B>(mut place: Place, response: Response<RecvStream>, rest: Rest<B>) -> Response<link::Incoming>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (mut parts, stream) = response.into_parts();
    let upload = match rest {
        Rest::Tunnel(send) if parts.status.is_success() => {
            place.answered(None);
            // What it is in HTTP/1.1, so that nobody else needs to know the difference.
            parts.status = StatusCode::SWITCHING_PROTOCOLS;
            return Response::from_parts(parts, link::Incoming::Switched(StreamIo::new(stream, send), place));
        }
        Rest::Tunnel(mut send) => {
            // Nothing was sent and nothing will be.
            let _ = send.send_data(Bytes::new(), true);
            None
        }
        Rest::Body(upload) => upload.answered(),
        Rest::Nothing => None,
    };
    place.answered(upload);
    let incoming = Incoming::new(stream, content_length(&parts.headers));
    Response::from_parts(parts, link::Incoming::Http2(incoming, place))
}

/// Sends the head, and what is there of the body.
async fn send<'a, B>(
    place: &Place,
    request: Request<RequestBody<B>>,
    plan: &Plan,
    memory: &'a ReplayMemory,
) -> Result<(ResponseFuture, Sent<'a, B>), Failure<B>>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let kept = Replay::of(&request, memory);
    let (parts, body) = request.into_parts();
    let length = plan.length;
    let mut head = request::head(parts, place.scheme()).map_err(Failure::Failed)?;
    if let Some(asked) = &plan.upgrade {
        asked.over_http2(&mut head).map_err(Failure::Failed)?;
    }
    let is_all = body.is_end_stream() && plan.upgrade.is_none();
    let Ok((response, stream)) = place.send(head, is_all) else {
        // The connection has ended since it was chosen.
        return Err(Failure::Unsent(kept.request(body), busy()));
    };
    let rest = match plan.upgrade {
        Some(_) => Rest::Tunnel(stream),
        None if is_all => Rest::Nothing,
        None => Rest::Body(Upload::start(body, length, stream).await),
    };
    Ok((response, Sent { head: kept, rest }))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

impl Awaited<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response<RecvStream>, h2::Error>> {
        while let Some(response) = ready!(self.response.poll_informational(context)).transpose()? {
            self.is_heard = true;
            if let Some(sink) = self.sink {
                informational::give_response(sink, response);
            }
        }
        Pin::new(&mut self.response).poll(context)
    }
}

impl<B> Sent<'_, B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    /// The request as it was, unless more of its body was read than is kept.
    fn request(self) -> Option<Ready<B>> {
        let body = match self.rest {
            Rest::Body(upload) => upload.take_back()?,
            Rest::Nothing | Rest::Tunnel(_) => RequestBody::empty(),
        };
        Some(self.head.request(body))
    }
}

fn fate(error: &h2::Error, is_heard: bool) -> Fate {
    // A GOAWAY fails the streams above its last one, and no others.
    let is_refused = error.is_remote() && (error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM));
    match () {
        () if is_heard => Fate::Failed("the backend broke off its answer"),
        () if is_refused => Fate::Unprocessed,
        () if error.is_io() => Fate::Unknown,
        () if error.is_remote() => Fate::Failed("the backend reset the request's stream"),
        () => Fate::Failed("the backend's answer is no HTTP/2 that can be passed on"),
    }
}

fn failure<B>(fate: Fate, error: h2::Error, sent: Sent<'_, B>, plan: &mut Plan, is_reused: bool) -> Failure<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if let Some(failure) = body_failure(plan.upload.as_deref()) {
        return failure;
    }
    let because = |detail| UpstreamError::because(UpstreamErrorKind::Protocol, detail, cause(error));
    match fate {
        Fate::Unprocessed => match sent.request() {
            Some(request) => Failure::Unsent(request, busy()),
            None => Failure::Failed(busy()),
        },
        Fate::Unknown => {
            let again = (is_reused && plan.may_go_again()).then(|| {
                plan.fresh_only = true;
                sent.head.request(RequestBody::empty())
            });
            Failure::Unanswered(again, because("the backend closed the connection without an answer"))
        }
        Fate::Failed(detail) => Failure::Failed(because(detail)),
    }
}

fn busy() -> UpstreamError {
    UpstreamError::new(UpstreamErrorKind::Busy, "the backend refused the request's stream")
}
