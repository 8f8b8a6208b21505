//! Which protocol a client asks its connection (RFC 9110 section 7.8) or its stream (RFC 8441) to become, if it asks for
//! one that can be had. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version};

use super::head::{Head, HeadError};
use super::http1::encode::has_token;
use super::http1::framing::BodyLength;
use super::tunnel::Protocol;
use crate::core::fields::{Fields, Occurs, is_tchar};

/// Protocols that carry requests. What passes through a tunnel is not looked at, and no request reaches a backend without
/// a decision.
const CARRYING_REQUESTS: [&[u8]; 4] = [b"h2c", b"h2", b"http", b"tls"];
/// Bytes of a nonce of WebSocket (RFC 6455 section 4.1).
const NONCE_BYTES: usize = 16;

/// The protocol that a request of HTTP/1.1 asks for: exactly one, if `Connection` names `Upgrade` and there is no body.
/// An upgrade is an offer: one that is not taken up leaves an ordinary request.
///
/// # Errors
/// [`HeadError::Malformed`] for a WebSocket handshake that does not have what RFC 6455 section 4.2.1 asks of one.
pub fn of_http1(head: &Head, body: BodyLength) -> Result<Option<HeaderValue>, HeadError> {
    // Nearly no request has the field.
    let Occurs::Once(protocol) = head.fields().occurs(&UPGRADE) else { return Ok(None) };
    let is_named = head.fields().all(&CONNECTION).any(|value| has_token(value, "upgrade"));
    if !(is_named && head.version == Version::HTTP_11 && body == BodyLength::Empty && is_usable(protocol)) {
        return Ok(None);
    }
    let protocol =
        HeaderValue::from_bytes(protocol).map_err(|_| HeadError::Malformed("an Upgrade that is no value"))?;
    if Protocol::named(&protocol) == Protocol::WebSocket {
        check_handshake(head)?;
    }
    Ok(Some(protocol))
}

/// The protocol that an extended CONNECT asks for by `name`. It is no offer: without it there is no request.
///
/// # Errors
/// [`HeadError::Malformed`] for what is no protocol's name or carries requests, and for WebSocket in a version that there
/// is not.
pub fn of_http2(name: &str, headers: &HeaderMap) -> Result<HeaderValue, HeadError> {
    let protocol = HeaderValue::from_str(name).ok().filter(|_| is_usable(name.as_bytes()));
    let protocol = protocol.ok_or(HeadError::Malformed("a :protocol that is none, or carries requests"))?;
    if Protocol::named(&protocol) == Protocol::WebSocket {
        check_version(headers.into())?;
    }
    Ok(protocol)
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
    !text.is_empty() && text.iter().all(|byte| is_tchar(*byte))
}

fn check_handshake(head: &Head) -> Result<(), HeadError> {
    if head.method != Method::GET {
        return Err(HeadError::Malformed("a WebSocket handshake with a method other than GET"));
    }
    check_version(head.fields())?;
    let nonce = match head.fields().occurs(&SEC_WEBSOCKET_KEY) {
        Occurs::Once(key) => BASE64.decode(key).ok(),
        Occurs::Never | Occurs::Again => None,
    };
    match nonce {
        Some(nonce) if nonce.len() == NONCE_BYTES => Ok(()),
        _ => Err(HeadError::Malformed("a WebSocket handshake without Sec-WebSocket-Key, or with one that is no nonce")),
    }
}

fn check_version(fields: Fields<'_>) -> Result<(), HeadError> {
    match fields.occurs(&SEC_WEBSOCKET_VERSION) {
        Occurs::Once(b"13") => Ok(()),
        _ => Err(HeadError::Malformed("a WebSocket handshake of a version other than 13")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::net::http1::{framing, head};

    const KEY: &str = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    /// What is made of a request with this start and these fields, each with its line end.
    fn asked(start: &str, fields: &str) -> Result<Option<String>, HeadError> {
        let mut text = BytesMut::from(&*format!("{start}\r\nHost: h\r\n{fields}\r\n"));
        let head = head::take(&mut text, 1024)?.unwrap();
        let body = framing::of_request(head.version, head.fields())?;
        let protocol = of_http1(&head, body)?;
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

    #[test]
    fn an_extended_connect_has_no_choice() {
        let version = |value| HeaderMap::from_iter([(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(value))]);
        assert!(of_http2("websocket", &version("13")).is_ok() && of_http2("foo/1", &HeaderMap::new()).is_ok());
        assert!(of_http2("websocket", &version("8")).is_err() && of_http2("websocket", &HeaderMap::new()).is_err());
        for name in ["", "a, b", "a\tb", "a/b/c", "h2c", "H2C", "HTTP/2.0", "tls/1.0"] {
            assert!(of_http2(name, &HeaderMap::new()).is_err(), "{name}");
        }
    }
}
