//! Connections to a backend that become something else than HTTP (RFC 9110 section 7.8).
//!
//! A backend is asked in so many words, and has agreed only with a 101 that names the same protocol; for a WebSocket it
//! has to prove that it has read the handshake (RFC 6455 section 4.2.2). Until then nothing but the request was sent to it,
//! and whatever else it answers is an ordinary answer on an ordinary connection. So a client cannot make a tunnel out of a
//! refusal, and send through it what nobody has decided about.

use std::fmt;

use aws_lc_rs::{digest, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Version};

use super::endpoint::Lease;
use super::error::{UpstreamError, UpstreamErrorKind};
use super::framing::claims_content;
use super::headers::{clean_response, connection_names};
use super::http2::Place;
use super::link::{Incoming, Link};
use super::outgoing::Outgoing;
use super::plan::Plan;
use super::response_body::ResponseBody;
use crate::net::tunnel::{Protocol, Side};

/// What RFC 6455 section 1.3 has a server append to a key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the connection to a backend has become.
pub struct Switched {
    /// What is spoken on it.
    pub protocol: Protocol,
    /// The backend's side.
    pub backend: Box<dyn Side>,
}

/// What a backend is asked, and how its agreement has to look.
#[derive(Debug)]
pub(super) struct Asked {
    protocol: HeaderValue,
    /// Of a WebSocket.
    proof: Option<Proof>,
    /// Whether the method is the one that extended CONNECT stands for.
    is_get: bool,
}

/// What `Sec-WebSocket-Accept` has to be.
#[derive(Debug)]
struct Proof {
    accept: HeaderValue,
    /// Whether the client knows the key, and so what to make of it.
    clients: bool,
}

impl Proof {
    fn ask(headers: &mut HeaderMap) -> Result<Self, UpstreamError> {
        if let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) {
            return Ok(Self { accept: accept(key), clients: true });
        }
        let mut nonce = [0; 16];
        rand::fill(&mut nonce)
            .map_err(|_| UpstreamError::new(UpstreamErrorKind::Protocol, "there is no randomness for a WebSocket"))?;
        let key = base64_value(&nonce);
        let proof = Self { accept: accept(&key), clients: false };
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
        Ok(proof)
    }
}

impl Asked {
    /// Has a request ask for `protocol`. A WebSocket handshake without `Sec-WebSocket-Key`, as HTTP/2 has it (RFC 8441 section
    /// 5), is given one, and its answer goes without the proof.
    ///
    /// # Errors
    /// There is no randomness for a key.
    pub(super) fn ask<B>(protocol: HeaderValue, request: &mut Outgoing<B>) -> Result<Self, UpstreamError> {
        let is_get = request.method == Method::GET;
        let headers = request.fields.as_map();
        let headers =
            headers.ok_or(UpstreamError::new(UpstreamErrorKind::Protocol, "an upgrade needs a map of fields"))?;
        let proof = match Protocol::named(&protocol) {
            Protocol::WebSocket => Some(Proof::ask(headers)?),
            Protocol::Other => None,
        };
        // In the place of what it says of TE: backends compare the whole value.
        headers.remove(header::TE);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
        Ok(Self { protocol, proof, is_get })
    }

    /// Asks in HTTP/2: by extended CONNECT (RFC 8441 section 4), which has no key and no proof.
    ///
    /// # Errors
    /// The protocol is none that can be named there.
    pub(super) fn over_http2(&self, head: &mut Request<()>) -> Result<(), UpstreamError> {
        let name = self.protocol.to_str();
        let name = name.map_err(|error| UpstreamError::because(UpstreamErrorKind::Protocol, NO_NAME, error))?;
        head.extensions_mut().insert(h2::ext::Protocol::from(name));
        *head.method_mut() = Method::CONNECT;
        head.headers_mut().remove(header::SEC_WEBSOCKET_KEY);
        head.headers_mut().remove(header::CONTENT_LENGTH);
        Ok(())
    }

    /// Whether this 101 agrees to what was asked, and to nothing else.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check<B>(&self, response: &Response<B>) -> Result<(), &'static str> {
        let headers = response.headers();
        if response.version() != Version::HTTP_11 || !connection_names(headers, "upgrade") {
            return Err("the backend switched protocols without Connection: Upgrade");
        }
        if !is_only(headers, header::UPGRADE, |value| value.as_bytes().eq_ignore_ascii_case(self.protocol.as_bytes())) {
            return Err("the backend switched to another protocol than it was asked to");
        }
        if claims_content(headers) {
            return Err("the backend switched protocols with an answer that has content");
        }
        match &self.proof {
            Some(proof) if !is_only(headers, header::SEC_WEBSOCKET_ACCEPT, |value| *value == proof.accept) => {
                Err("the backend's Sec-WebSocket-Accept does not fit the key")
            }
            _ => Ok(()),
        }
    }

    /// The backend's side, once it has agreed, and its place among other streams.
    ///
    /// # Errors
    /// What is wrong with its agreement.
    fn settle(&self, response: &Response<()>, body: Incoming) -> Result<(Box<dyn Side>, Option<Place>), &'static str> {
        match body {
            Incoming::Switched(stream, place) => Ok((Box::new(stream), Some(place))),
            // There is no 101 in HTTP/2 (RFC 9113 section 8.6).
            Incoming::Http2(..) => Err(NOT_ASKED),
            Incoming::Http1(body) => {
                self.check(response)?;
                let stream = body.into_connection().into_stream().ok_or(BROKEN)?;
                Ok((Box::new(stream), None))
            }
        }
    }

    /// Makes the agreement one that the client can be sent.
    fn clean(&self, headers: &mut HeaderMap) {
        clean_response(headers);
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::UPGRADE, self.protocol.clone());
        headers.remove(header::SEC_WEBSOCKET_ACCEPT);
        if let Some(proof) = self.proof.as_ref().filter(|proof| proof.clients) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, proof.accept.clone());
        }
    }
}

const NO_NAME: &str = "the protocol that is asked for has no name in HTTP/2";
const NOT_ASKED: &str = "the backend switched protocols without having been asked to";
const BROKEN: &str = "the connection broke when the backend switched protocols";
const NOT_OFFERED: &str =
    "the backend takes upgrades neither over HTTP/2 (extended CONNECT, RFC 8441) nor over HTTP/1.1";

impl Lease {
    /// A link on which what `plan` asks for can be had: `link`, if it is; otherwise one of HTTP/1.1, which `https` backends
    /// of HTTP/2 may speak as well.
    pub(super) async fn link_for(&self, plan: &Plan, link: Link) -> Result<Link, UpstreamError> {
        match (&plan.upgrade, &link) {
            (Some(asked), Link::Http2(place)) if !(asked.is_get && place.takes_upgrades()) => {
                let connection = Box::pin(self.endpoint.connect_http1()).await.map(Link::Http1);
                let kind = UpstreamErrorKind::Protocol;
                connection.map_err(|error| UpstreamError::because(kind, NOT_OFFERED, error))
            }
            _ => Ok(link),
        }
    }

    /// Passes on that the backend has switched protocols (101), if it was asked to.
    pub(super) fn switch(
        self,
        plan: &Plan,
        response: Response<Incoming>,
    ) -> Result<Response<ResponseBody>, UpstreamError> {
        let refused = |detail| UpstreamError::new(UpstreamErrorKind::Protocol, detail);
        let Some(asked) = &plan.upgrade else { return Err(self.failed(plan, refused(NOT_ASKED))) };
        let (parts, body) = response.into_parts();
        let mut response = Response::from_parts(parts, ());
        let (backend, place) = match asked.settle(&response, body) {
            Ok(settled) => settled,
            Err(detail) => return Err(self.failed(plan, refused(detail))),
        };
        self.endpoint.health.answered();
        asked.clean(response.headers_mut());
        let switched = Switched { protocol: Protocol::named(&asked.protocol), backend };
        Ok(response.map(|()| ResponseBody::switched(switched, place, self, plan)))
    }
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switched").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Whether a field is there once and `fits`.
fn is_only(headers: &HeaderMap, name: header::HeaderName, fits: impl Fn(&HeaderValue) -> bool) -> bool {
    let mut values = headers.get_all(name).iter();
    values.next().is_some_and(fits) && values.next().is_none()
}

/// `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2). It proves that the handshake was read, and
/// no secret depends on it: that SHA-1 has collisions does not matter here.
fn accept(key: &HeaderValue) -> HeaderValue {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    context.update(key.as_bytes());
    context.update(GUID);
    base64_value(context.finish().as_ref())
}

fn base64_value(bytes: &[u8]) -> HeaderValue {
    // Base64 is letters, digits and three signs: the other arm cannot be reached.
    HeaderValue::try_from(BASE64.encode(bytes)).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn switching(fields: &[(&'static str, &'static str)]) -> Response<()> {
        let mut response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        for (name, value) in fields {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap()
    }

    fn asked(protocol: &'static str, headers: &mut HeaderMap) -> Asked {
        let mut request = Outgoing::from(Request::new(()));
        *request.fields.as_map().unwrap() = std::mem::take(headers);
        let asked = Asked::ask(HeaderValue::from_static(protocol), &mut request).unwrap();
        *headers = std::mem::take(request.fields.as_map().unwrap());
        asked
    }

    #[test]
    fn only_what_was_asked_for_is_agreement() {
        let asked = asked("foo/1", &mut HeaderMap::new());
        let agreed: [(&str, &str); 2] = [("connection", "keep-alive, Upgrade"), ("upgrade", "FOO/1")];
        assert_eq!(asked.check(&switching(&agreed)), Ok(()));
        assert_eq!(asked.check(&switching(&[&agreed[..], &[("content-length", "0")]].concat())), Ok(()));
        for wrong in [
            &[][..],
            &agreed[..1],
            &agreed[1..],
            &[agreed[0], ("upgrade", "foo")],
            &[agreed[0], ("upgrade", "foo/1, bar")],
            &[agreed[0], agreed[1], agreed[1]],
            &[agreed[0], agreed[1], ("content-length", "5")],
            &[agreed[0], agreed[1], ("transfer-encoding", "chunked")],
        ] {
            assert!(asked.check(&switching(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_websocket_has_to_prove_that_it_is_one() {
        // The example of RFC 6455 section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let mut headers = HeaderMap::from_iter([(header::SEC_WEBSOCKET_KEY, key)]);
        let asked = asked("websocket", &mut headers);
        let with = |accept| [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", accept)];
        let mut good = switching(&with("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        assert_eq!(asked.check(&good), Ok(()));
        assert!(asked.check(&switching(&with("S3pPLMBiTxaQ9kYGzzhZRbK+xOo="))).is_err());
        assert!(asked.check(&switching(&with("")[..2])).is_err());
        asked.clean(good.headers_mut());
        assert!(good.headers().contains_key(header::SEC_WEBSOCKET_ACCEPT), "the client needs it");
    }

    #[test]
    fn a_handshake_without_a_key_gets_one_each_time() {
        let key = || {
            let mut headers = HeaderMap::from_iter([(header::TE, HeaderValue::from_static("trailers"))]);
            let asked = asked("websocket", &mut headers);
            let key = headers.remove(header::SEC_WEBSOCKET_KEY).unwrap();
            assert_eq!(headers[header::CONNECTION], "Upgrade");
            assert_eq!((headers.len(), BASE64.decode(&key).unwrap().len()), (2, 16));
            let mut answer = HeaderMap::from_iter([(header::SEC_WEBSOCKET_ACCEPT, accept(&key))]);
            asked.clean(&mut answer);
            assert_eq!(answer.keys().collect::<Vec<_>>(), [header::UPGRADE], "the client has no use for the proof");
            key
        };
        assert_ne!(key(), key());
    }
}
