//! A request made ready to be sent, and what has to be known to send it again.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request, Uri, Version};
use http_body::Body;

use super::error::{UpstreamError, UpstreamErrorKind};
use super::exchange::TimeLimits;
use super::framing::{content_length, frame_request};
use super::informational::InformationalSink;
use super::replay::Replay;
use super::request_body::{RequestBody, Upload};
use super::upgrade::{Asked, Upgrade};

/// What one request needs beside itself.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) limits: TimeLimits,
    /// Where its 1xx responses go.
    pub(super) sink: Option<InformationalSink>,
    /// How far its body came, if it has one.
    pub(super) upload: Option<Rc<Upload>>,
    /// Without a body and idempotent.
    replayable: bool,
    /// It was sent once already, in vain: no connection that was used before gets it.
    pub(super) fresh_only: bool,
    /// Whether it is a HEAD request.
    pub(super) head: bool,
    /// What its connection is asked to become.
    pub(super) upgrade: Option<Asked>,
}

impl Plan {
    /// Makes a request ready to be sent.
    pub(super) fn new<B>(
        request: Request<B>,
        limits: TimeLimits,
    ) -> Result<(Self, Request<RequestBody<B>>), UpstreamError>
    where
        B: Body<Data = Bytes>,
    {
        if request.method() == Method::CONNECT {
            // Its success would turn the connection into a tunnel.
            return Err(UpstreamError::new(UpstreamErrorKind::Protocol, "CONNECT is not forwarded"));
        }
        let length = content_length(request.body());
        let mut request = request.map(RequestBody::new);
        *request.version_mut() = Version::HTTP_11;
        make_origin_form(request.uri_mut());
        let (method, empty) = (request.method().clone(), request.body().upload().is_none());
        frame_request(request.headers_mut(), &method, length);
        let upgrade = request.extensions_mut().remove::<Upgrade>();
        let upgrade = upgrade.map(|upgrade| upgrade.ask(&method, request.headers_mut())).transpose()?;
        let sink = request.extensions_mut().remove::<InformationalSink>();
        let plan = Self {
            limits,
            sink,
            upload: request.body().upload(),
            replayable: empty && method.is_idempotent(),
            fresh_only: false,
            head: method == Method::HEAD,
            upgrade,
        };
        Ok((plan, request))
    }

    /// Whether it may be sent once more if a connection that was used before closes in silence.
    pub(super) fn may_go_again(&self) -> bool {
        self.replayable && !self.fresh_only
    }

    /// The request once more. From here on only fresh connections are good enough.
    pub(super) fn again<B>(&mut self, replay: Replay<'_>) -> Box<Request<RequestBody<B>>>
    where
        B: Body<Data = Bytes>,
    {
        self.fresh_only = true;
        self.anew(replay, RequestBody::empty())
    }

    /// The request as it was, of which nothing was sent as far as the backend is concerned.
    pub(super) fn anew<B>(&self, replay: Replay<'_>, body: RequestBody<B>) -> Box<Request<RequestBody<B>>>
    where
        B: Body<Data = Bytes>,
    {
        Box::new(replay.request(body))
    }
}

/// Leaves of a target what a backend is sent: path and query, byte for byte.
fn make_origin_form(uri: &mut Uri) {
    if uri.authority().is_some() {
        *uri = uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
    }
}
