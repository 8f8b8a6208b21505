//! 1xx responses on their way to the client (RFC 9110 section 15.2).

use http::{HeaderMap, Request, StatusCode};
use tokio::sync::mpsc;

use super::headers::clean_response;

/// Most 1xx responses that wait to be passed on. A backend that sends more of them than the client takes loses some: they
/// are hints.
const WAITING_MAX: usize = 8;

/// Where the 1xx responses to a request go. Put into the request's extensions; without one they are dropped.
#[derive(Debug, Clone)]
pub struct InformationalSink(mpsc::Sender<Informational>);

/// A 1xx response, without hop-by-hop fields.
#[derive(Debug)]
pub struct Informational {
    /// 100 or 102–199.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: HeaderMap,
}

impl InformationalSink {
    /// A sink, and the end at which its responses come out, in their order and all before the final response.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Informational>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// Has the responses to `request` come here.
    pub(super) fn attach<B>(self, request: &mut Request<B>) {
        hyper::ext::on_informational(request, move |response| {
            let Ok(place) = self.0.try_reserve() else { return };
            let mut headers = response.headers().clone();
            clean_response(&mut headers);
            place.send(Informational { status: response.status(), headers });
        });
    }
}
