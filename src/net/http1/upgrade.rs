//! Which protocol a client asks its connection to become (RFC 9110 section 7.8), if it asks for one that can be had. An
//! upgrade is an offer: one that is not taken leaves an ordinary request. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderName, HeaderValue, Method, Version};

use super::encode::has_token;
use super::framing::BodyLength;
use super::head::{Head, HeadError};
use crate::net::tunnel::Protocol;

/// Protocols that carry requests. What passes through a tunnel is not looked at, and no request reaches a backend without
/// a decision.
const CARRYING_REQUESTS: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];
/// Bytes of a nonce of WebSocket (RFC 6455 section 4.1).
const NONCE_BYTES: usize = 16;

/// The protocol that the request asks for: exactly one, in a request of HTTP/1.1 whose `Connection` names `Upgrade` and
/// which has no body. Anything else is not taken up.
///
/// # Errors
/// [`HeadError::Malformed`] for a WebSocket handshake that does not have what RFC 6455 section 4.2.1 asks of one.
pub fn of_request(head: &Head, body: BodyLength) -> Result<Option<HeaderValue>, HeadError> {
    // Nearly no request has the field.
    let Some(protocol) = only(head, UPGRADE) else { return Ok(None) };
    let is_named = head.headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    if !(is_named && head.version == Version::HTTP_11 && body == BodyLength::Empty && is_usable(protocol.as_bytes())) {
        return Ok(None);
    }
    if Protocol::named(protocol) == Protocol::WebSocket {
        check_websocket(head)?;
    }
    Ok(Some(protocol.clone()))
}

/// Whether this is one protocol, with or without a version, that carries no requests.
fn is_usable(protocol: &[u8]) -> bool {
    let mut parts = protocol.split(|byte| *byte == b'/');
    let name = parts.next().unwrap_or_default();
    let version = parts.next();
    let well_formed = is_token(name) && version.is_none_or(is_token) && parts.next().is_none();
    well_formed && !CARRYING_REQUESTS.iter().any(|carrying| name.eq_ignore_ascii_case(carrying))
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn check_websocket(head: &Head) -> Result<(), HeadError> {
    let version = only(head, SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes);
    let nonce = only(head, SEC_WEBSOCKET_KEY).and_then(|key| BASE64.decode(key).ok());
    let wrong = match (&head.method, version, nonce) {
        (&Method::GET, Some(b"13"), Some(nonce)) if nonce.len() == NONCE_BYTES => return Ok(()),
        (&Method::GET, Some(b"13"), _) => "a WebSocket handshake without Sec-WebSocket-Key, or with one that is no nonce",
        (&Method::GET, ..) => "a WebSocket handshake of a version other than 13",
        _ => "a WebSocket handshake with a method other than GET",
    };
    Err(HeadError::Malformed(wrong))
}

/// The value of a field that is there once.
fn only(head: &Head, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = head.headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::net::http1::{framing, head};

    const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// What is made of a request with this start and these fields, each with its line end.
    fn asked(start: &str, fields: &str) -> Result<Option<String>, HeadError> {
        let head = head::parse(&Bytes::from(format!("{start}\r\nHost: h\r\n{fields}\r\n")))?;
        let body = framing::of_request(head.version, &head.headers)?;
        let protocol = of_request(&head, body)?;
        Ok(protocol.map(|protocol| protocol.to_str().unwrap().to_owned()))
    }

    #[test]
    fn one_protocol_is_taken_up() {
        for (fields, protocol) in [
            ("Connection: upgrade\r\nUpgrade: foo\r\n", "foo"),
            ("Connection: keep-alive, UPGRADE\r\nUpgrade: SPDY/3.1\r\n", "SPDY/3.1"),
            ("Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n", "tcp"),
        ] {
            assert_eq!(asked("POST / HTTP/1.1", fields), Ok(Some(protocol.to_owned())), "{fields}");
        }
        let websocket = format!("Connection: Upgrade\r\nUpgrade: WebSocket\r\n{KEY}");
        assert_eq!(asked("GET / HTTP/1.1", &websocket), Ok(Some("WebSocket".to_owned())));
    }

    #[test]
    fn what_cannot_be_had_is_an_ordinary_request() {
        for fields in [
            "",
            "Upgrade: foo\r\n",
            "Connection: upgrade\r\n",
            "Connection: x-upgrade\r\nUpgrade: foo\r\n",
            "Connection: upgrade\r\nUpgrade: foo, bar\r\n",
            "Connection: upgrade\r\nUpgrade: foo\r\nUpgrade: bar\r\n",
            "Connection: upgrade\r\nUpgrade:\r\n",
            "Connection: upgrade\r\nUpgrade: foo/1/2\r\n",
            "Connection: upgrade\r\nUpgrade: /1\r\n",
            "Connection: upgrade\r\nUpgrade: fo o\r\n",
            "Connection: upgrade\r\nUpgrade: h2c\r\n",
            "Connection: upgrade\r\nUpgrade: H2C\r\n",
            "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n",
            "Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n",
            "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
            "Connection: upgrade\r\nUpgrade: foo\r\nContent-Length: 1\r\n",
            "Connection: upgrade\r\nUpgrade: foo\r\nTransfer-Encoding: chunked\r\n",
            "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n",
        ] {
            assert_eq!(asked("GET / HTTP/1.1", fields), Ok(None), "{fields}");
        }
        assert_eq!(asked("GET / HTTP/1.0", "Connection: upgrade\r\nUpgrade: foo\r\n"), Ok(None));
    }

    #[test]
    fn half_a_websocket_handshake_is_refused() {
        const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        for (start, fields) in [
            ("POST / HTTP/1.1", KEY.to_owned()),
            ("GET / HTTP/1.1", String::new()),
            ("GET / HTTP/1.1", KEY.repeat(2)),
            ("GET / HTTP/1.1", KEY.replace("13", "8")),
            ("GET / HTTP/1.1", KEY.replace("dGhl", "")),
            ("GET / HTTP/1.1", KEY.replace("==", "")),
            ("GET / HTTP/1.1", KEY.replace("dGhl", "!!!!")),
        ] {
            assert!(asked(start, &format!("{UPGRADE}{fields}")).is_err(), "{start} {fields}");
        }
    }
}
