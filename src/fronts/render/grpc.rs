//! Refusals for gRPC clients: HTTP 200 and the status in the header fields ("Trailers-Only" of the gRPC over HTTP/2
//! specification).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Response};

use crate::core::rejection::Answer;

static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The content type of the answer, if the request is a gRPC request. gRPC-Web reads the status from the header fields
/// as well, but wants its own content type.
pub(super) fn answer_type(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers.get(CONTENT_TYPE)?.as_bytes();
    if starts_with(asked, b"application/grpc-web") {
        return Some(HeaderValue::from_static("application/grpc-web"));
    }
    starts_with(asked, b"application/grpc").then(|| HeaderValue::from_static("application/grpc"))
}

fn starts_with(value: &[u8], prefix: &[u8]) -> bool {
    value.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The whole answer; there is no body.
pub(super) fn trailers_only(answer: &Answer, content_type: HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(GRPC_STATUS.clone(), HeaderValue::from(u16::from(answer.grpc)));
    super::insert_text(headers, GRPC_MESSAGE.clone(), &percent_encoded(answer.message));
    response
}

/// `Percent-Encoded` of the gRPC specification: printable ASCII but `%` stands for itself.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' => encoded.push_str("%25"),
            b' '..=b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_percent_encoded() {
        assert_eq!(percent_encoded("100 % ü\n"), "100 %25 %C3%BC%0A");
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let answer = |value: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            answer_type(&headers).map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(answer("Application/gRPC+proto").as_deref(), Some("application/grpc"));
        assert_eq!(answer("application/grpc").as_deref(), Some("application/grpc"));
        assert_eq!(answer("application/grpc-web-text").as_deref(), Some("application/grpc-web"));
        assert_eq!(answer("application/json"), None);
        assert_eq!(answer("application/gr"), None);
    }
}
