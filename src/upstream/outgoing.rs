//! A request on its way to a backend.

use std::mem;

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};

use super::framing::expects_content;
use crate::net::http1::encode::field;
use crate::net::interim::Interim;

/// A request, with what has to be known of it beside.
#[derive(Debug)]
pub struct Outgoing<B> {
    /// The method.
    pub method: Method,
    /// Path and query, as they are sent.
    pub path: PathAndQuery,
    /// The header fields.
    pub fields: OutgoingFields,
    /// The body.
    pub body: B,
}

/// What a request is to have beside its answer.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Where its 1xx responses go; without one they are dropped.
    pub interim: Option<Interim>,
    /// The protocol that it asks its connection to become.
    pub upgrade: Option<HeaderValue>,
}

/// Header fields: made fit for a backend already, and not yet framed.
#[derive(Debug)]
pub enum OutgoingFields {
    /// As a map: for any backend.
    Map(HeaderMap),
    /// As they are sent in HTTP/1.1, for backends that speak nothing else ([`super::Upstreams::takes_lines`]).
    Lines(OutgoingLines),
}

/// Header fields as they are sent in HTTP/1.1, but for `Host` and the framing, which depend on who gets them.
#[derive(Debug, Default)]
pub struct OutgoingLines {
    lines: BytesMut,
    host: Option<Bytes>,
    /// Whether the client has said how long its body is.
    has_length: bool,
    /// The trailers that the client has announced.
    announced: Vec<HeaderName>,
}

impl OutgoingLines {
    /// None yet, with room for some.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { lines: BytesMut::with_capacity(bytes), ..Self::default() }
    }

    /// Adds a field.
    pub fn put(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"host" => self.host = Some(Bytes::copy_from_slice(value)),
            b"content-length" => self.has_length = true,
            _ => {
                if name == b"trailer" {
                    self.announced.extend(names_in(value));
                }
                field(&mut self.lines, name, value);
            }
        }
    }
}

impl<B> From<Request<B>> for Outgoing<B> {
    fn from(request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        Self { method: parts.method, path, fields: OutgoingFields::Map(parts.headers), body }
    }
}

impl<B> Outgoing<B> {
    /// The same with another body.
    pub(super) fn map<C>(self, body: impl FnOnce(B) -> C) -> Outgoing<C> {
        let Self { method, path, fields, body: old } = self;
        Outgoing { method, path, fields, body: body(old) }
    }

    /// The request as HTTP/2 and the echo want it.
    pub(super) fn into_http(self) -> Request<B> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.path);
        *request.headers_mut() = self.fields.into_map();
        request
    }

    /// Sees to it that there is a `Host`; `always` in the place of whatever there is.
    pub(super) fn set_host(&mut self, host: &HeaderValue, always: bool) {
        match &mut self.fields {
            OutgoingFields::Map(map) if always || !map.contains_key(header::HOST) => {
                map.insert(header::HOST, host.clone());
            }
            OutgoingFields::Lines(lines) if always || lines.host.is_none() => {
                lines.host = Some(Bytes::copy_from_slice(host.as_bytes()));
            }
            OutgoingFields::Map(_) | OutgoingFields::Lines(_) => {}
        }
    }
}

impl OutgoingFields {
    /// Frames them by the length of their body: that length, chunks if it is not known, or nothing.
    ///
    /// An unknown length is chunks with GET and HEAD too: no body is one of a known length.
    pub(super) fn frame(&mut self, method: &Method, length: Option<u64>) {
        match self {
            Self::Map(map) => frame_map(map, method, length),
            Self::Lines(lines) => match length {
                None => field(&mut lines.lines, b"transfer-encoding", b"chunked"),
                Some(0) if !expects_content(method) && !lines.has_length => {}
                Some(length) => {
                    field(&mut lines.lines, b"content-length", itoa::Buffer::new().format(length).as_bytes());
                }
            },
        }
    }

    /// The trailers that they announce.
    pub(super) fn announced(&self) -> Vec<HeaderName> {
        match self {
            Self::Map(map) => {
                map.get_all(header::TRAILER).iter().flat_map(|value| names_in(value.as_bytes())).collect()
            }
            Self::Lines(lines) => lines.announced.clone(),
        }
    }

    /// Writes them, `Host` first (RFC 9110 section 7.2).
    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Map(map) => {
                let host = map.iter().filter(|(name, _)| *name == header::HOST);
                let others = map.iter().filter(|(name, _)| *name != header::HOST);
                host.chain(others).for_each(|(name, value)| field(out, name.as_str().as_bytes(), value.as_bytes()));
            }
            Self::Lines(lines) => {
                if let Some(host) = &lines.host {
                    field(out, b"host", host);
                }
                out.put_slice(&lines.lines);
            }
        }
    }

    /// How many bytes they take up, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Map(map) => map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum(),
            Self::Lines(lines) => lines.lines.len() + lines.host.as_ref().map_or(0, Bytes::len) + 8,
        }
    }

    /// The fields as a map, which they are from then on.
    pub(super) fn as_map(&mut self) -> &mut HeaderMap {
        let mut map = mem::replace(self, Self::Map(HeaderMap::new())).into_map();
        match self {
            Self::Map(empty) => {
                mem::swap(empty, &mut map);
                empty
            }
            Self::Lines(_) => unreachable!("it was made a map"),
        }
    }

    fn into_map(self) -> HeaderMap {
        let lines = match self {
            Self::Map(map) => return map,
            Self::Lines(lines) => lines,
        };
        let (mut map, text) = (HeaderMap::new(), lines.lines.freeze());
        let host = lines.host.and_then(|host| HeaderValue::from_maybe_shared(host).ok());
        map.extend(host.map(|host| (header::HOST, host)));
        // Written above, from fields of one line each.
        for line in text.split(|byte| *byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            let value = text.slice_ref(value.get(1..).unwrap_or_default().trim_ascii());
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value)) {
                map.append(name, value);
            }
        }
        map
    }
}

fn frame_map(headers: &mut HeaderMap, method: &Method, length: Option<u64>) {
    headers.remove(header::TRANSFER_ENCODING);
    match length {
        None => {
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Some(0) if !expects_content(method) && !headers.contains_key(header::CONTENT_LENGTH) => {}
        Some(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
}

fn names_in(value: &[u8]) -> impl Iterator<Item = HeaderName> {
    value.split(|byte| *byte == b',').filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(fields: &[(&str, &str)]) -> OutgoingFields {
        let mut lines = OutgoingLines::default();
        fields.iter().for_each(|(name, value)| lines.put(name.as_bytes(), value.as_bytes()));
        OutgoingFields::Lines(lines)
    }

    fn written(fields: &OutgoingFields) -> String {
        let mut out = BytesMut::new();
        fields.write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn fields_are_framed_by_their_body_in_either_form() {
        let cases = [
            (Method::GET, &[][..], Some(0), ""),
            (Method::GET, &[("content-length", "5")], Some(0), "content-length: 0\r\n"),
            (Method::GET, &[("content-length", "5")], Some(3), "content-length: 3\r\n"),
            (Method::GET, &[("content-length", "3")], None, "transfer-encoding: chunked\r\n"),
            (Method::POST, &[], Some(0), "content-length: 0\r\n"),
        ];
        for (method, fields, length, expected) in cases {
            let mut lines = lines(fields);
            let mut map = OutgoingFields::Map(lines_as_given(fields));
            for fields in [&mut lines, &mut map] {
                fields.frame(&method, length);
                assert_eq!(written(fields), expected, "{method} {length:?}");
            }
        }
        let mut map = OutgoingFields::Map(lines_as_given(&[("transfer-encoding", "gzip")]));
        map.frame(&Method::GET, Some(0));
        assert_eq!(written(&map), "", "whatever the client has said");
    }

    fn lines_as_given(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn host_goes_first_and_lines_become_the_map_that_they_are() {
        let fields = [("x-a", "1: 2"), ("host", "h:80"), ("x-a", ""), ("trailer", "X-Sum, x-b")];
        let fields = lines(&fields);
        assert_eq!(written(&fields), "host: h:80\r\nx-a: 1: 2\r\nx-a: \r\ntrailer: X-Sum, x-b\r\n");
        assert_eq!(fields.announced(), ["x-sum", "x-b"]);
        let map = fields.into_map();
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1: 2", ""]);
        assert_eq!((map.len(), &map["host"]), (4, &HeaderValue::from_static("h:80")));
    }
}
