//! The request that Envoy asks about, out of its message.

use std::net::IpAddr;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::proto::{CheckRequest, HttpRequest, Peer};
use crate::core::rejection::{Reason, Rejection};
use crate::net::head::Head;
use crate::net::http1::head::HEADERS_MAX;

/// What Envoy asks about.
pub(super) struct Original {
    pub(super) head: Head,
    /// The client's address, if it has one.
    pub(super) client: Option<IpAddr>,
}

impl Original {
    /// The request that the message describes, of a head of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// `request_malformed` for what is no request or has two readings, `too_large`.
    pub(super) fn of(check: CheckRequest, bytes_max: usize) -> Result<Self, Rejection> {
        let attributes = check.attributes.ok_or_else(|| malformed("a check without attributes"))?;
        let client = attributes.source.as_ref().and_then(address);
        let http = attributes.request.and_then(|request| request.http);
        let http = http.ok_or_else(|| malformed("a check without an HTTP request"))?;
        Ok(Self { head: head(http, bytes_max)?, client })
    }

    /// The length of the body, where the request says it.
    pub(super) fn body_bytes(&self) -> Option<u64> {
        self.head.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

fn head(http: HttpRequest, bytes_max: usize) -> Result<Head, Rejection> {
    let HttpRequest { method, headers, path, host, header_map } = http;
    let raw = header_map.map(|map| map.headers).unwrap_or_default();
    if !raw.is_empty() && !headers.is_empty() {
        return Err(malformed("the header fields came twice"));
    }
    let pairs = headers.into_iter().map(|field| (field.key, field.value));
    let raw = raw.into_iter().map(|field| match field.raw_value.is_empty() {
        true => (field.key, field.value),
        false => (field.key, field.raw_value),
    });
    let fields: Vec<(Bytes, Bytes)> = pairs.chain(raw).collect();
    let bytes: usize = fields.iter().map(|(key, value)| key.len() + value.len()).sum();
    if fields.len() > HEADERS_MAX || bytes + path.len() > bytes_max {
        return Err(Rejection::new(Reason::HeadTooLarge, "the head is longer than limits.header_bytes"));
    }
    let line = Line { method: &method, path: &path, host: &host };
    let headers = header_map_of(fields, &line)?;
    let method = Method::from_bytes(&method).map_err(|_| malformed("no method, or none of HTTP"))?;
    if path.is_empty() {
        return Err(malformed("a request without a path"));
    }
    Head::new(method, &path, Version::HTTP_11, headers).map_err(|_| malformed("the path is not UTF-8"))
}

/// What the message says of the request line, and says once more in pseudo-header fields.
struct Line<'a> {
    method: &'a [u8],
    path: &'a [u8],
    host: &'a [u8],
}

impl Line<'_> {
    fn agrees(&self, name: &[u8], value: &[u8]) -> bool {
        match name {
            b":method" => value == self.method,
            b":path" => value == self.path,
            b":authority" | b"host" => value.eq_ignore_ascii_case(self.host),
            _ => true,
        }
    }
}

fn header_map_of(fields: Vec<(Bytes, Bytes)>, line: &Line<'_>) -> Result<HeaderMap, Rejection> {
    let mut headers = HeaderMap::with_capacity(fields.len() + 1);
    for (name, value) in fields {
        if !line.agrees(&name.to_ascii_lowercase(), &value) {
            return Err(malformed("the check describes two requests"));
        }
        if name.starts_with(b":") {
            continue;
        }
        let name = HeaderName::from_bytes(&name).map_err(|_| malformed("a header name that is none"))?;
        if name != HOST {
            headers.append(name, field_value(value)?);
        }
    }
    if !line.host.is_empty() {
        headers.insert(HOST, field_value(Bytes::copy_from_slice(line.host))?);
    }
    Ok(headers)
}

fn field_value(value: Bytes) -> Result<HeaderValue, Rejection> {
    HeaderValue::from_maybe_shared(value).map_err(|_| malformed("a header value with a control character"))
}

fn address(peer: &Peer) -> Option<IpAddr> {
    let address = peer.address.as_ref()?.socket_address.as_ref()?;
    std::str::from_utf8(&address.address).ok()?.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::RequestMalformed, detail)
}

#[cfg(test)]
mod tests {
    use super::super::proto::{AttributeContext, AttributeRequest, MapEntry, RawHeader, RawHeaders};
    use super::*;

    fn http(method: &'static str, path: &'static str, fields: &[(&'static str, &'static str)]) -> HttpRequest {
        let entry =
            |(key, value): &(&'static str, &'static str)| MapEntry { key: (*key).into(), value: (*value).into() };
        let headers = fields.iter().map(entry).collect();
        HttpRequest { method: method.into(), path: path.into(), host: "h:80".into(), headers, header_map: None }
    }

    fn read(http: HttpRequest) -> Result<Head, Rejection> {
        let request = Some(AttributeRequest { http: Some(http) });
        let check = CheckRequest { attributes: Some(AttributeContext { source: None, request }) };
        Original::of(check, 1024).map(|original| original.head)
    }

    #[test]
    fn fields_come_either_way_and_not_both() {
        let plain = read(http("GET", "/a?b", &[(":path", "/a?b"), (":authority", "H:80"), ("X-A", "1")])).unwrap();
        assert_eq!((plain.method.as_str(), plain.target(), plain.headers().len()), ("GET", "/a?b", 2));
        assert_eq!(
            (&plain.headers()["host"], &plain.headers()["x-a"]),
            (&"h:80".parse().unwrap(), &"1".parse().unwrap())
        );
        let raw = |value: &'static [u8]| {
            let headers = vec![RawHeader { key: "x-a".into(), value: Bytes::new(), raw_value: value.into() }];
            HttpRequest { header_map: Some(RawHeaders { headers }), ..http("GET", "/", &[]) }
        };
        assert_eq!(read(raw(b"\xff")).unwrap().headers()["x-a"].as_bytes(), b"\xff");
        assert!(read(raw(b"a\nb")).is_err());
        assert!(read(HttpRequest { headers: http("GET", "/", &[("x", "y")]).headers, ..raw(b"1") }).is_err());
    }

    #[test]
    fn what_is_no_request_or_two_is_refused() {
        for odd in [
            http("", "/", &[]),
            http("G T", "/", &[]),
            http("GET", "", &[]),
            http("GET", "/", &[(":path", "/other")]),
            http("GET", "/", &[(":method", "POST")]),
            http("GET", "/", &[("Host", "other")]),
            http("GET", "/", &[("a b", "")]),
            HttpRequest { path: Bytes::from_static(b"/\xff"), ..http("GET", "/", &[]) },
            HttpRequest { host: Bytes::from_static(b"a\0"), ..http("GET", "/", &[]) },
        ] {
            assert_eq!(read(odd.clone()).err().unwrap().reason, Reason::RequestMalformed, "{odd:?}");
        }
        let mut many = http("GET", "/", &[]);
        many.headers = vec![MapEntry { key: "a".into(), value: "b".repeat(2000).into() }];
        assert_eq!(read(many).err().unwrap().reason, Reason::HeadTooLarge);
        assert!(Original::of(CheckRequest { attributes: None }, 1024).is_err());
    }
}
