//! A request on its way to a backend.

use std::mem;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};

use super::error::{UpstreamError, UpstreamErrorKind};
use super::framing::expects_content;
use crate::core::fields::Field;
use crate::net::buffers;
use crate::net::http1::encode::field;
use crate::net::interim::Interim;

/// What a head takes up beside its fields and its path, in bytes, framing included.
const LINE_BYTES: usize = 96;

/// A request, with what has to be known of it beside.
#[derive(Debug)]
pub struct Outgoing<B> {
    /// The method.
    pub method: Method,
    /// Path and query, and the header fields.
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

/// Path, query and header fields: made fit for a backend already, and not yet framed.
#[derive(Debug)]
pub enum OutgoingFields {
    /// The fields as a map: for any backend.
    Map(PathAndQuery, HeaderMap),
    /// As they are sent in HTTP/1.1, for backends that speak nothing else ([`super::Upstreams::takes_lines`]) and are asked for no
    /// upgrade.
    Lines(OutgoingLines),
}

/// The head of a request as it is sent in HTTP/1.1, but for the framing and the empty line.
#[derive(Debug)]
pub struct OutgoingLines {
    bytes: Vec<u8>,
    /// Where the request line ends.
    first_line: usize,
    /// Where the line with `Host` ends, which is the next one; there may be none.
    host_line: usize,
    /// Whether the client has said how long its body is.
    has_length: bool,
    /// The trailers that the client has announced.
    announced: Vec<HeaderName>,
}

impl OutgoingLines {
    /// The request line, with room for `fields_bytes` behind it. `path` is path and query, and has to be fit for a URI.
    #[must_use]
    pub fn begin(method: &Method, path: &str, fields_bytes: usize) -> Self {
        let mut bytes = buffers::to_write(LINE_BYTES + path.len() + fields_bytes);
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.extend_from_slice(b" ");
        bytes.extend_from_slice(path.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        let end = bytes.len();
        Self { bytes, first_line: end, host_line: end, has_length: false, announced: Vec::new() }
    }

    /// Adds a field. `Host` has to come first (RFC 9110 section 7.2).
    pub fn put(&mut self, field: Field<'_>) {
        match field.name {
            b"host" => return self.set_host(field.value),
            // The framing is settled by the body.
            b"content-length" => return self.has_length = true,
            b"transfer-encoding" => return,
            b"trailer" => self.announced.extend(names_in(field.value)),
            _ => {}
        }
        field.write_to(&mut self.bytes);
    }

    /// Adds fields of ours that are written as they are sent. None of them is one that [`Self::put`] knows: the configuration
    /// refuses those (`RESERVED` in `config/identity.rs`).
    pub fn put_lines(&mut self, lines: &[u8]) {
        self.bytes.extend_from_slice(lines);
    }

    /// Path and query.
    fn path(&self) -> Option<PathAndQuery> {
        let path = self.bytes.get(..self.first_line)?.split(|byte| *byte == b' ').nth(1)?;
        PathAndQuery::try_from(path).ok()
    }

    fn has_host(&self) -> bool {
        self.host_line > self.first_line
    }

    fn set_host(&mut self, host: &[u8]) {
        if self.bytes.len() == self.first_line {
            field(&mut self.bytes, b"host", host);
            self.host_line = self.bytes.len();
            return;
        }
        // In the place of another, or where the client has named none: by far the rarer case.
        let behind = self.bytes.split_off(self.host_line);
        self.bytes.truncate(self.first_line);
        field(&mut self.bytes, b"host", host);
        self.host_line = self.bytes.len();
        self.bytes.extend_from_slice(&behind);
    }
}

impl<B> From<Request<B>> for Outgoing<B> {
    fn from(request: Request<B>) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query.unwrap_or(PathAndQuery::from_static("/"));
        Self { method: parts.method, fields: OutgoingFields::Map(path, parts.headers), body }
    }
}

impl<B> Outgoing<B> {
    /// The same with another body.
    pub(super) fn map<C>(self, body: impl FnOnce(B) -> C) -> Outgoing<C> {
        let Self { method, fields, body: old } = self;
        Outgoing { method, fields, body: body(old) }
    }

    /// The head as it is sent in HTTP/1.1, with its empty line. Only once, unless it is put back ([`Outgoing::put_back`]).
    pub(super) fn take_head(&mut self) -> Vec<u8> {
        match &mut self.fields {
            OutgoingFields::Lines(lines) => {
                lines.bytes.extend_from_slice(b"\r\n");
                mem::take(&mut lines.bytes)
            }
            OutgoingFields::Map(path, map) => head_of(&self.method, path, map),
        }
    }

    /// Takes back a head that was to be sent.
    pub(super) fn put_back(&mut self, mut head: Vec<u8>) {
        if let OutgoingFields::Lines(lines) = &mut self.fields {
            head.truncate(head.len().saturating_sub(2));
            lines.bytes = head;
        }
    }

    /// The request as HTTP/2 and the echo want it.
    ///
    /// # Errors
    /// Its path, in lines, is none of a URI.
    pub(super) fn into_http(self) -> Result<Request<B>, UpstreamError> {
        let (path, headers) = self.fields.into_map()?;
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(path);
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Sees to it that there is a `Host`; `always` in the place of whatever there is.
    pub(super) fn set_host(&mut self, host: &HeaderValue, always: bool) {
        match &mut self.fields {
            OutgoingFields::Map(_, map) if always || !map.contains_key(header::HOST) => {
                map.insert(header::HOST, host.clone());
            }
            OutgoingFields::Lines(lines) if always || !lines.has_host() => lines.set_host(host.as_bytes()),
            OutgoingFields::Map(..) | OutgoingFields::Lines(_) => {}
        }
    }
}

impl OutgoingFields {
    /// Frames them by the length of their body: that length, chunks if it is not known, or nothing.
    ///
    /// An unknown length is chunks with GET and HEAD too: no body is one of a known length.
    pub(super) fn frame(&mut self, method: &Method, length: Option<u64>) {
        match self {
            Self::Map(_, map) => frame_map(map, method, length),
            Self::Lines(lines) => match length {
                None => field(&mut lines.bytes, b"transfer-encoding", b"chunked"),
                Some(0) if !expects_content(method) && !lines.has_length => {}
                Some(length) => {
                    field(&mut lines.bytes, b"content-length", itoa::Buffer::new().format(length).as_bytes());
                }
            },
        }
    }

    /// The trailers that they announce.
    pub(super) fn announced(&self) -> Vec<HeaderName> {
        match self {
            Self::Map(_, map) => {
                map.get_all(header::TRAILER).iter().flat_map(|value| names_in(value.as_bytes())).collect()
            }
            Self::Lines(lines) => lines.announced.clone(),
        }
    }

    /// The map, if they are one.
    pub(super) fn as_map(&mut self) -> Option<&mut HeaderMap> {
        match self {
            Self::Map(_, map) => Some(map),
            Self::Lines(_) => None,
        }
    }

    fn into_map(self) -> Result<(PathAndQuery, HeaderMap), UpstreamError> {
        let lines = match self {
            Self::Map(path, map) => return Ok((path, map)),
            Self::Lines(lines) => lines,
        };
        let path = lines.path();
        let path = path.ok_or_else(|| UpstreamError::new(UpstreamErrorKind::Protocol, "its path is none of a URI"))?;
        let (mut map, text) = (HeaderMap::new(), Bytes::from(lines.bytes));
        // Written above, from fields of one line each. The request line comes before them.
        for line in text.get(lines.first_line..).unwrap_or_default().split(|byte| *byte == b'\n') {
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            let value = text.slice_ref(value.get(1..).unwrap_or_default().trim_ascii());
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_maybe_shared(value)) {
                map.append(name, value);
            }
        }
        Ok((path, map))
    }
}

fn head_of(method: &Method, path: &PathAndQuery, map: &HeaderMap) -> Vec<u8> {
    let fields_bytes = map.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut lines = OutgoingLines::begin(method, path.as_str(), fields_bytes);
    let host = map.iter().filter(|(name, _)| *name == header::HOST);
    let others = map.iter().filter(|(name, _)| *name != header::HOST);
    host.chain(others).for_each(|(name, value)| field(&mut lines.bytes, name.as_str().as_bytes(), value.as_bytes()));
    lines.bytes.extend_from_slice(b"\r\n");
    lines.bytes
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

    type Given = [(&'static str, &'static str)];

    fn lines(fields: &Given) -> OutgoingFields {
        let mut lines = OutgoingLines::begin(&Method::GET, "/a?b", 0);
        fields.iter().for_each(|(name, value)| lines.put(Field::new(name.as_bytes(), value.as_bytes())));
        OutgoingFields::Lines(lines)
    }

    fn map(fields: &Given) -> OutgoingFields {
        let fields = fields.iter();
        let fields = fields.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        OutgoingFields::Map(PathAndQuery::from_static("/a?b"), fields.collect())
    }

    fn outgoing(fields: OutgoingFields) -> Outgoing<()> {
        Outgoing { method: Method::GET, fields, body: () }
    }

    fn head(fields: OutgoingFields) -> String {
        String::from_utf8(outgoing(fields).take_head()).unwrap()
    }

    #[test]
    fn fields_are_framed_by_their_body_in_either_form() {
        let cases = [
            (Method::GET, &[][..], Some(0), ""),
            (Method::GET, &[("transfer-encoding", "gzip")], Some(0), ""),
            (Method::GET, &[("content-length", "5")], Some(0), "content-length: 0\r\n"),
            (Method::GET, &[("content-length", "5")], Some(3), "content-length: 3\r\n"),
            (Method::GET, &[("content-length", "3")], None, "transfer-encoding: chunked\r\n"),
            (Method::POST, &[], Some(0), "content-length: 0\r\n"),
        ];
        for (method, fields, length, expected) in cases {
            for mut form in [lines(fields), map(fields)] {
                form.frame(&method, length);
                assert_eq!(head(form), format!("GET /a?b HTTP/1.1\r\n{expected}\r\n"), "{method} {length:?}");
            }
        }
    }

    #[test]
    fn host_goes_first_and_is_the_endpoints_where_there_is_none_or_it_has_to_be() {
        let host = HeaderValue::from_static("backend:80");
        for make in [lines as fn(&Given) -> OutgoingFields, map] {
            for (fields, always, expected) in [
                (&[("host", "h"), ("x-a", "1")][..], false, "host: h\r\nx-a: 1\r\n"),
                (&[("host", "h"), ("x-a", "1")], true, "host: backend:80\r\nx-a: 1\r\n"),
                (&[("x-a", "1")], false, "host: backend:80\r\nx-a: 1\r\n"),
            ] {
                let mut request = outgoing(make(fields));
                request.set_host(&host, always);
                assert_eq!(request.take_head(), format!("GET /a?b HTTP/1.1\r\n{expected}\r\n").as_bytes());
            }
        }
    }

    #[test]
    fn a_head_that_was_put_back_is_sent_to_another_host() {
        let mut request = outgoing(lines(&[("host", "h"), ("x-a", "1")]));
        let head = request.take_head();
        request.put_back(head);
        request.set_host(&HeaderValue::from_static("other"), true);
        assert_eq!(request.take_head(), b"GET /a?b HTTP/1.1\r\nhost: other\r\nx-a: 1\r\n\r\n");
    }

    #[test]
    fn a_request_in_lines_becomes_the_one_that_it_is() {
        let request = outgoing(lines(&[("host", "h")])).into_http().unwrap();
        assert_eq!(
            (request.uri(), &request.headers()["host"]),
            (&Uri::from_static("/a?b"), &HeaderValue::from_static("h"))
        );
    }

    #[test]
    fn lines_become_the_map_that_they_are() {
        let fields = lines(&[("host", "h:80"), ("x-a", "1: 2"), ("x-a", ""), ("trailer", "X-Sum, x-b")]);
        assert_eq!(fields.announced(), ["x-sum", "x-b"]);
        let (_, map) = fields.into_map().unwrap();
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["1: 2", ""]);
        assert_eq!((map.len(), &map["host"]), (4, &HeaderValue::from_static("h:80")));
    }
}
