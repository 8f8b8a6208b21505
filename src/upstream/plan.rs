//! A request made ready to be sent, and what has to be known to send it again.

use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use http_body::Body;
use tokio::time::Instant;

use super::error::{UpstreamError, UpstreamErrorKind};
use super::exchange::TimeLimits;
use super::framing::body_length;
use super::outgoing::{Outgoing, Wishes};
use super::request_body::{RequestBody, Upload};
use super::upgrade::Asked;
use crate::net::interim::Interim;

/// A request that is ready to be sent. It is boxed: it is large, and handed on several times.
pub(super) type Ready<B> = Box<Outgoing<RequestBody<B>>>;

/// What one request needs beside itself.
#[derive(Debug)]
pub(super) struct Plan {
    /// When it was made.
    pub(super) started: Instant,
    /// When the endpoint that has it now could begin with it: its time limits count from here.
    pub(super) connected: Instant,
    pub(super) limits: TimeLimits,
    /// Where its 1xx responses go.
    pub(super) sink: Option<Interim>,
    /// How far its body came, if it has one.
    pub(super) upload: Option<Rc<Upload>>,
    /// How long its body is, if that is known.
    pub(super) length: Option<u64>,
    /// Without a body and idempotent.
    replayable: bool,
    /// It was sent once already, in vain: no connection that was used before gets it.
    pub(super) fresh_only: bool,
    /// Whether it is a HEAD request.
    pub(super) head: bool,
    /// What its connection is asked to become. Boxed: it is large and rare.
    pub(super) upgrade: Option<Box<Asked>>,
}

impl Plan {
    /// Makes a request ready to be sent.
    pub(super) fn new<B>(
        request: Outgoing<B>,
        wishes: Wishes,
        limits: TimeLimits,
    ) -> Result<(Self, Ready<B>), UpstreamError>
    where
        B: Body<Data = Bytes>,
    {
        if request.method == Method::CONNECT {
            // Its success would turn the connection into a tunnel.
            return Err(UpstreamError::new(UpstreamErrorKind::Protocol, "CONNECT is not forwarded"));
        }
        let length = body_length(&request.body);
        let mut request = request.map(RequestBody::new);
        request.fields.frame(&request.method, length);
        let Wishes { interim, upgrade } = wishes;
        let upgrade = upgrade.map(|protocol| Asked::ask(protocol, &mut request).map(Box::new)).transpose()?;
        let upload = request.body.upload();
        let started = Instant::now();
        let plan = Self {
            started,
            connected: started,
            limits,
            sink: interim,
            replayable: upload.is_none() && request.method.is_idempotent(),
            upload,
            length,
            fresh_only: false,
            head: request.method == Method::HEAD,
            upgrade,
        };
        Ok((plan, Box::new(request)))
    }

    /// Whether it may be sent once more if a connection that was used before closes in silence.
    pub(super) fn may_go_again(&self) -> bool {
        self.replayable && !self.fresh_only
    }
}
