//! One framing per message, decided here and not by what a peer's header fields say.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::Body;

use super::headers::connection_names;

/// The length of a body, if it is known.
pub(super) fn content_length(body: &impl Body) -> Option<u64> {
    if body.is_end_stream() { Some(0) } else { body.size_hint().exact() }
}

/// Frames a request by the length of its body: that length, chunks if it is not known, or nothing.
///
/// An unknown length is chunks with GET and HEAD too: no body is one of a known length.
pub(super) fn frame_request(headers: &mut HeaderMap, method: &Method, length: Option<u64>) {
    headers.remove(header::TRANSFER_ENCODING);
    match length {
        None => {
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        Some(0) if !expects_content(method) && !headers.contains_key(header::CONTENT_LENGTH) => {}
        Some(length) if content_length_field(headers) == Ok(Some(length)) => {}
        Some(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    }
}

/// Methods that say `Content-Length: 0` where there is no content (RFC 9110 section 8.6).
fn expects_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// How a response goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// The connection can serve another request behind it.
    Reusable,
    /// It cannot.
    Last,
}

/// Checks that a response has one framing only (RFC 9112 section 6.3): of two we might follow one, and a client behind us the
/// other.
///
/// # Errors
/// What is wrong, if the response cannot be passed on.
pub(super) fn check_response<B>(response: &mut Response<B>, head_request: bool) -> Result<Framing, &'static str> {
    let status = response.status();
    let version = response.version();
    let headers = response.headers_mut();
    let chunked = is_chunked(headers)?;
    let length = content_length_field(headers)?;
    if chunked && length.is_some() {
        return Err("the backend sent both Content-Length and Transfer-Encoding");
    }
    let stays = version == http::Version::HTTP_11 && !connection_names(headers, "close");
    let mut framing = if stays { Framing::Reusable } else { Framing::Last };
    if status == StatusCode::NO_CONTENT && (chunked || length.is_some()) {
        // Neither may be here (RFC 9110 section 8.6), and who says so may send the content as well.
        headers.remove(header::CONTENT_LENGTH);
        framing = Framing::Last;
    }
    if chunked && (head_request || status == StatusCode::NOT_MODIFIED) {
        framing = Framing::Last;
    }
    Ok(framing)
}

/// How the end of a response's body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// There are as many bytes.
    Exact(u64),
    /// The chunked coding says where it ends.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// The length of the body behind this head, which answers HTTP/1.1 (RFC 9112 section 6.3).
///
/// # Errors
/// What is wrong, if nobody can tell.
pub(super) fn length_of_response<B>(head: &Response<B>, head_request: bool) -> Result<BodyLength, &'static str> {
    let status = head.status();
    let chunked = is_chunked(head.headers())?;
    let length = content_length_field(head.headers())?;
    if chunked && head.version() != http::Version::HTTP_11 {
        return Err("the backend sent Transfer-Encoding in HTTP/1.0");
    }
    let is_empty = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    Ok(match length {
        _ if head_request || is_empty.contains(&status) => BodyLength::Exact(0),
        _ if chunked => BodyLength::Chunked,
        Some(length) => BodyLength::Exact(length),
        None => BodyLength::UntilClose,
    })
}

/// The length of a request's body, as [`frame_request`] has written it.
pub(super) fn length_of_request(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether a response that has no content, such as 101, claims to have some.
pub(super) fn claims_content(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || !matches!(content_length_field(headers), Ok(None | Some(0)))
}

fn is_chunked(headers: &HeaderMap) -> Result<bool, &'static str> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(true),
        _ => Err("the backend sent a transfer coding other than chunked"),
    }
}

fn content_length_field(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    const WRONG: &str = "the backend sent a Content-Length that is no single number";
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(length), None) if length.as_bytes().iter().all(u8::is_ascii_digit) => {
            length.to_str().ok().and_then(|digits| digits.parse().ok()).map(Some).ok_or(WRONG)
        }
        _ => Err(WRONG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, lines: &[(&'static str, &'static str)]) -> Response<()> {
        let mut builder = Response::builder().status(status);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    #[test]
    fn responses_of_two_minds_are_refused() {
        let chunked = ("transfer-encoding", "chunked");
        let refused: [&[(&str, &str)]; 8] = [
            &[chunked, ("content-length", "5")],
            &[chunked, chunked],
            &[("transfer-encoding", "gzip, chunked")],
            &[("transfer-encoding", "gzip")],
            &[("content-length", "5"), ("content-length", "5")],
            &[("content-length", "5, 5")],
            &[("content-length", "+5")],
            &[("content-length", "")],
        ];
        for lines in refused {
            assert!(check_response(&mut response(200, lines), false).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn a_connection_that_may_be_out_of_step_is_not_used_again() {
        let chunked = [("transfer-encoding", "Chunked")];
        assert_eq!(check_response(&mut response(200, &chunked), false), Ok(Framing::Reusable));
        assert_eq!(check_response(&mut response(200, &chunked), true), Ok(Framing::Last));
        assert_eq!(check_response(&mut response(304, &chunked), false), Ok(Framing::Last));
        assert_eq!(check_response(&mut response(304, &[("content-length", "5")]), false), Ok(Framing::Reusable));
        let mut no_content = response(204, &[("content-length", "5")]);
        assert_eq!(check_response(&mut no_content, false), Ok(Framing::Last));
        assert!(no_content.headers().is_empty());
        let mut old = response(200, &[]);
        *old.version_mut() = http::Version::HTTP_10;
        assert_eq!(check_response(&mut old, false), Ok(Framing::Last));
    }

    #[test]
    fn a_request_is_framed_by_its_body() {
        let framed = |method: Method, claimed: &'static str, length: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("gzip"));
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(claimed));
            frame_request(&mut headers, &method, length);
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(framed(Method::GET, "5", Some(0)), ["content-length: 0"]);
        assert_eq!(framed(Method::GET, "0", Some(3)), ["content-length: 3"]);
        assert_eq!(framed(Method::GET, "3", None), ["transfer-encoding: chunked"]);
        let mut headers = HeaderMap::new();
        frame_request(&mut headers, &Method::GET, Some(0));
        assert!(headers.is_empty());
        frame_request(&mut headers, &Method::POST, Some(0));
        assert_eq!(headers[header::CONTENT_LENGTH], "0");
    }
}
