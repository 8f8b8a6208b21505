//! Requests: from a head to bytes (RFC 9112 section 3). Pure.

use bytes::{BufMut, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};

/// What a head takes up beside its fields, at most, unless its path is long.
const LINE_BYTES: usize = 64;

/// Writes the request line and the fields, `Host` first (RFC 9110 section 7.2).
pub(super) fn head(out: &mut BytesMut, parts: &Parts) {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let fields: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    out.reserve(LINE_BYTES + path.len() + fields);
    out.put_slice(parts.method.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(path.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    if let Some(host) = parts.headers.get(header::HOST) {
        field(out, &header::HOST, host.as_bytes());
    }
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != header::HOST) {
        field(out, name, value.as_bytes());
    }
    out.put_slice(b"\r\n");
}

/// The trailers that these fields announce.
pub(super) fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::TRAILER).iter();
    let names = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok()).collect()
}

fn field(out: &mut BytesMut, name: &HeaderName, value: &[u8]) {
    out.reserve(name.as_str().len() + value.len() + 4);
    out.put_slice(name.as_str().as_bytes());
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}
