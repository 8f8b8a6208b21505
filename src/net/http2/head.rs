//! Request heads: what the fields of a stream say (RFC 9113 section 8.3), as the value that HTTP/1.1 makes of its own, or
//! a refusal.
//!
//! `h2` has taken the fields apart and refuses by itself, with a stream error and without an answer, what it calls
//! malformed: names in upper case, control characters, fields of a connection, pseudo-header fields that are unknown,
//! missing, doubled or out of place. What is left for here is what it lets pass and HTTP/1.1 does not.

use bytes::Bytes;
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Version, request, uri};

use crate::net::head::{Head, HeadError};
use crate::net::http1::framing::{self, BodyLength};
use crate::net::http1::head::HEADERS_MAX;
use crate::net::upgrade;

/// CONNECT without a protocol (RFC 9113 section 8.5).
const PLAIN_CONNECT: HeadError = HeadError::Malformed("CONNECT asks for a tunnel to a host");

/// What of a request line in HTTP/1.1 is neither method nor target, and the empty line behind the fields.
const LINE_OVERHEAD_BYTES: usize = "  HTTP/1.1\r\n\r\n".len();
/// What of a field's line in HTTP/1.1 is neither name nor value.
const FIELD_OVERHEAD_BYTES: usize = ": \r\n".len();

/// Makes the head of a request.
///
/// # Errors
/// [`HeadError::TooLarge`] for what would be longer than `bytes_max` in HTTP/1.1; [`HeadError::Malformed`] for what
/// could not be said there, or has two readings.
pub(super) fn translate(parts: request::Parts, bytes_max: usize) -> Result<Head, HeadError> {
    let request::Parts { mut method, uri, mut headers, mut extensions, .. } = parts;
    let uri::Parts { scheme, authority, path_and_query, .. } = uri.into_parts();
    let protocol = extensions.remove::<Protocol>();
    if method == Method::CONNECT {
        // RFC 8441 section 4: with a protocol it is what HTTP/1.1 asks for in a GET.
        method = protocol.as_ref().map(|_| Method::GET).ok_or(PLAIN_CONNECT)?;
    }
    check_scheme(scheme.as_ref())?;
    let target = target(&method, path_and_query.as_ref())?;
    check_fields(&headers)?;
    set_host(&mut headers, authority.as_ref())?;
    join_cookies(&mut headers)?;
    if length_in_http1(&method, &target, &headers) > bytes_max {
        return Err(HeadError::TooLarge);
    }
    let mut head = Head::new(method, &target, Version::HTTP_2, headers)?;
    head.upgrade = protocol.map(|protocol| upgrade::of_http2(protocol.as_str(), head.headers())).transpose()?;
    Ok(head)
}

/// The length of the body that the head promises, if it does; of what is upgraded there is none.
///
/// # Errors
/// [`HeadError::Malformed`] for a `Content-Length` that is not one plain number.
pub(super) fn content_length(head: &Head) -> Result<Option<u64>, HeadError> {
    let length = match framing::of_request(head.version, head.fields())? {
        BodyLength::Exact(length) => Some(length),
        BodyLength::Empty => head.headers().contains_key(CONTENT_LENGTH).then_some(0),
        BodyLength::Chunked => return Err(HeadError::Malformed("Transfer-Encoding in an HTTP/2 request")),
    };
    match (&head.upgrade, length) {
        (Some(_), Some(_)) => Err(HeadError::Malformed("a CONNECT with Content-Length")),
        _ => Ok(length),
    }
}

/// Whether fields, or trailers, are as many and of such values as HTTP/1.1 allows.
///
/// # Errors
/// [`HeadError::TooLarge`] for too many; [`HeadError::Malformed`] for a value with whitespace around it (RFC 9113 section
/// 8.2.1), which HTTP/1.1 takes for no part of it.
pub(super) fn check_fields(headers: &HeaderMap) -> Result<(), HeadError> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded = |value: &HeaderValue| is_blank(value.as_bytes().first()) || is_blank(value.as_bytes().last());
    if headers.len() > HEADERS_MAX {
        return Err(HeadError::TooLarge);
    }
    match headers.values().any(is_padded) {
        true => Err(HeadError::Malformed("a header value with whitespace around it")),
        false => Ok(()),
    }
}

/// `h2` drops the scheme if there is no authority beside it. Nothing is decided by it.
fn check_scheme(scheme: Option<&Scheme>) -> Result<(), HeadError> {
    match scheme {
        Some(scheme) if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS => {
            Err(HeadError::Malformed("a :scheme other than http and https"))
        }
        _ => Ok(()),
    }
}

fn target(method: &Method, path: Option<&PathAndQuery>) -> Result<Bytes, HeadError> {
    let path = path.ok_or(HeadError::Malformed("a request without :path"))?.as_str();
    if path.starts_with('/') || (path == "*" && method == Method::OPTIONS) {
        return Ok(Bytes::copy_from_slice(path.as_bytes()));
    }
    Err(HeadError::Malformed("a :path that does not begin with a slash"))
}

/// Puts the authority where HTTP/1.1 has it (RFC 9113 section 8.3.1).
fn set_host(headers: &mut HeaderMap, authority: Option<&Authority>) -> Result<(), HeadError> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(HeadError::Malformed("more than one Host"));
    }
    let Some(authority) = authority else {
        return host.map(|_| ()).ok_or(HeadError::Malformed("a request with neither :authority nor Host"));
    };
    if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())) {
        return Err(HeadError::Malformed(":authority and Host differ"));
    }
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| HeadError::Malformed(":authority is no host"))?;
    headers.insert(HOST, host);
    Ok(())
}

/// A client may send each cookie in a field of its own (RFC 9113 section 8.2.3); HTTP/1.1 has one field.
fn join_cookies(headers: &mut HeaderMap) -> Result<(), HeadError> {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return Ok(());
    }
    let cookies = HeaderValue::from_maybe_shared(Bytes::from(crumbs.join(&b"; "[..])));
    headers.insert(COOKIE, cookies.map_err(|_| HeadError::Malformed("a cookie holds a control character"))?);
    Ok(())
}

fn length_in_http1(method: &Method, target: &Bytes, headers: &HeaderMap) -> usize {
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD_BYTES);
    method.as_str().len() + target.len() + LINE_OVERHEAD_BYTES + fields.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    /// A request as `h2` hands it out.
    fn request(method: &str, uri: &str, fields: &[(&'static str, &'static str)]) -> request::Parts {
        let mut parts = http::Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
        for (name, value) in fields {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        parts
    }

    fn refused(parts: request::Parts) -> bool {
        matches!(translate(parts, 4096), Err(HeadError::Malformed(_)))
    }

    #[test]
    fn a_request_is_what_it_would_be_in_http1() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("x", "y")];
        let head = translate(request("POST", "https://h:8443/a?b", &crumbs), 4096).unwrap();
        assert_eq!((head.method.as_str(), head.target(), head.version), ("POST", "/a?b", Version::HTTP_2));
        assert_eq!(head.headers().get(HOST).unwrap(), "h:8443");
        assert_eq!(head.headers().get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert!(head.upgrade.is_none() && head.check_host().is_ok());
    }

    #[test]
    fn authority_and_host_have_to_agree() {
        let host = |value| request("GET", "http://h/", &[("host", value)]);
        assert_eq!(translate(host("H"), 4096).unwrap().headers().get_all(HOST).iter().collect::<Vec<_>>(), ["h"]);
        assert!(refused(host("other")) && refused(host("h:80")) && refused(host("")));
        assert!(refused(request("GET", "http://h/", &[("host", "h"), ("host", "h")])));
        assert!(refused(request("GET", "/", &[])), "neither of them");
        assert_eq!(translate(request("GET", "/", &[("host", "h")]), 4096).unwrap().headers()[HOST], "h");
    }

    #[test]
    fn what_http1_could_not_say_is_refused() {
        assert!(refused(request("CONNECT", "h:443", &[])), "a plain CONNECT");
        assert!(refused(request("GET", "ftp://h/", &[])));
        assert!(refused(request("GET", "*", &[("host", "h")])));
        assert!(translate(request("OPTIONS", "*", &[("host", "h")]), 4096).is_ok());
        assert!(refused(request("GET", "http://h/", &[("x", " y")])));
        assert!(refused(request("GET", "http://h/", &[("x", "y\t")])));
    }

    #[test]
    fn heads_are_measured_as_in_http1() {
        let length = "GET /a HTTP/1.1\r\nhost: h\r\nx: y\r\n\r\n".len();
        let parts = || request("GET", "http://h/a", &[("x", "y")]);
        assert!(translate(parts(), length).is_ok());
        assert!(matches!(translate(parts(), length - 1), Err(HeadError::TooLarge)));
        let mut many = parts();
        many.headers.extend(
            (0..HEADERS_MAX)
                .map(|place| (HeaderName::try_from(format!("x-{place}")).unwrap(), HeaderValue::from_static(""))),
        );
        assert!(matches!(translate(many, 65536), Err(HeadError::TooLarge)));
    }

    #[test]
    fn an_extended_connect_is_the_get_of_an_upgrade() {
        let connect = |protocol: &'static str, fields: &[(&'static str, &'static str)]| {
            let mut parts = request("CONNECT", "https://h/chat", fields);
            parts.extensions.insert(Protocol::from_static(protocol));
            translate(parts, 4096)
        };
        const VERSION: (&str, &str) = ("sec-websocket-version", "13");
        let head = connect("websocket", &[VERSION]).unwrap();
        assert_eq!((head.method.as_str(), head.upgrade.as_ref().unwrap().as_bytes()), ("GET", &b"websocket"[..]));
        assert_eq!(content_length(&head), Ok(None));
        assert!(content_length(&connect("websocket", &[VERSION, ("content-length", "0")]).unwrap()).is_err());
        assert!(connect("a, b", &[]).is_err() && connect("h2c", &[]).is_err() && connect("websocket", &[]).is_err());
    }

    #[test]
    fn a_length_is_one_plain_number() {
        let length = |values: &[(&'static str, &'static str)]| {
            content_length(&translate(request("POST", "http://h/", values), 4096).unwrap())
        };
        assert_eq!(length(&[]), Ok(None));
        assert_eq!(length(&[("content-length", "0")]), Ok(Some(0)));
        assert_eq!(length(&[("content-length", "12")]), Ok(Some(12)));
        assert!(length(&[("content-length", "1"), ("content-length", "1")]).is_err());
        assert!(length(&[("content-length", "+1")]).is_err());
    }
}
