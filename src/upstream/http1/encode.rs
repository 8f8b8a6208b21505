//! Requests: from a head to bytes (RFC 9112 section 3). Pure.

use bytes::{BufMut, BytesMut};

use crate::upstream::outgoing::Outgoing;

/// What a head takes up beside its fields, at most, unless its path is long.
const LINE_BYTES: usize = 64;

/// Writes the request line and the fields.
pub(super) fn head<B>(out: &mut BytesMut, request: &Outgoing<B>) {
    let path = request.path.as_str();
    out.reserve(LINE_BYTES + path.len() + request.fields.bytes());
    out.put_slice(request.method.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(path.as_bytes());
    out.put_slice(b" HTTP/1.1\r\n");
    request.fields.write(out);
    out.put_slice(b"\r\n");
}
