//! Unary calls of gRPC over HTTP/2: one message in, one message and a status out (`PROTOCOL-HTTP2.md` of gRPC).

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use prost::Message;

use crate::net::head::Head;
use crate::net::service::RequestBody;

/// What a message has beside a head: framing, addresses, certificates, metadata, and what somebody adds who need not, such
/// as the beginning of the body.
const BESIDE_HEAD_BYTES: usize = 64 << 10;
/// A flag for compression, and the length.
const PREFIX_BYTES: usize = 5;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoMessage {
    /// It is longer than [`bytes_max`].
    TooLong,
    /// It is compressed, which nobody has agreed on.
    Compressed,
    /// It broke off, or there is something behind it.
    Malformed,
}

/// A status other than OK. The texts are for whoever set up the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    PermissionDenied = 7,
    Unimplemented = 12,
}

/// Whether the request is one of gRPC at all; if not, the status of HTTP that says so.
pub(super) fn check_head(head: &Head) -> Result<(), StatusCode> {
    let content_type = head.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let (kind, rest) = content_type.split_at_checked(GRPC.len()).unwrap_or((content_type, b""));
    let is_grpc = kind.eq_ignore_ascii_case(GRPC.as_bytes()) && matches!(rest.first(), None | Some(b'+' | b';'));
    match () {
        () if head.version != Version::HTTP_2 => Err(StatusCode::HTTP_VERSION_NOT_SUPPORTED),
        () if head.method != Method::POST => Err(StatusCode::METHOD_NOT_ALLOWED),
        () if !is_grpc => Err(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        () => Ok(()),
    }
}

/// Longest message about a head of at most so many bytes. Envoy tells the path twice.
fn bytes_max(header_bytes: usize) -> usize {
    header_bytes.saturating_mul(2).saturating_add(BESIDE_HEAD_BYTES)
}

/// The one message of a unary call, about a head of at most `header_bytes`. Nothing is kept of a longer one.
pub(super) async fn message(mut body: RequestBody, header_bytes: usize) -> Result<Bytes, NoMessage> {
    let (mut read, max) = (BytesMut::new(), bytes_max(header_bytes));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| NoMessage::Malformed)?.into_data() else { continue };
        read.extend_from_slice(&data);
        check_prefix(&read, max)?;
    }
    let mut read = read.freeze();
    let length = declared(&read).ok_or(NoMessage::Malformed)?;
    read.advance(PREFIX_BYTES);
    if read.len() == length { Ok(read) } else { Err(NoMessage::Malformed) }
}

fn check_prefix(read: &[u8], max: usize) -> Result<(), NoMessage> {
    match (read.first(), declared(read)) {
        (Some(1..), _) => Err(NoMessage::Compressed),
        (_, Some(length)) if length > max => Err(NoMessage::TooLong),
        (_, Some(length)) if read.len() - PREFIX_BYTES > length => Err(NoMessage::Malformed),
        _ => Ok(()),
    }
}

/// The length that the prefix declares, once it is there.
fn declared(read: &[u8]) -> Option<usize> {
    let (prefix, _) = read.split_first_chunk::<PREFIX_BYTES>()?;
    let [_, a, b, c, d] = *prefix;
    usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()
}

/// An answer with a message: its bytes, and the trailers behind them.
pub(super) fn answer(message: &impl Message) -> (Response<Bytes>, HeaderMap) {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    let mut response = Response::new(bytes.freeze());
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS.clone(), HeaderValue::from_static("0"))]);
    (response, trailers)
}

/// An answer that is a status and nothing else ("Trailers-Only").
pub(super) fn status(code: Code, message: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, GRPC);
    headers.insert(GRPC_STATUS.clone(), HeaderValue::from(code as u16));
    headers.insert(GRPC_MESSAGE.clone(), HeaderValue::from_static(message));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_checked_as_soon_as_it_is_there() {
        let check = |read: &[u8]| check_prefix(read, 1 << 20);
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[0, 0, 0x10]), Ok(()));
        assert_eq!(check(&[1]), Err(NoMessage::Compressed));
        assert_eq!(check(&[0, 0, 0x10, 0, 0]), Ok(()));
        assert_eq!(check(&[0, 0, 0x10, 0, 1]), Err(NoMessage::TooLong));
        assert_eq!(check(&[0, 0xff, 0xff, 0xff, 0xff]), Err(NoMessage::TooLong));
        assert_eq!(check(&[0, 0, 0, 0, 1, 9]), Ok(()));
        assert_eq!(check(&[0, 0, 0, 0, 1, 9, 9]), Err(NoMessage::Malformed));
    }

    #[test]
    fn the_longest_message_is_one_about_the_longest_head() {
        assert_eq!(bytes_max(32 << 10), 128 << 10);
        assert_eq!(bytes_max(1 << 20), (2 << 20) + (64 << 10));
    }
}
