//! One framing per message, decided here and not by what a peer's header fields say.

use http::header::{self, HeaderMap};
use http::{Method, StatusCode, Version};
use http_body::Body;

use super::headers::connection_names;
use crate::core::fields::{Fields, Occurs};

/// The length of a body, if it is known.
pub(super) fn body_length(body: &impl Body) -> Option<u64> {
    if body.is_end_stream() { Some(0) } else { body.size_hint().exact() }
}

/// Methods that say `Content-Length: 0` where there is no content (RFC 9110 section 8.6).
pub(super) fn expects_content(method: &Method) -> bool {
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

/// How a response is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) framing: Framing,
    pub(super) length: BodyLength,
    /// It says how long its content is, and has none: neither that nor `Transfer-Encoding` may be here (RFC 9110 section 8.6).
    pub(super) says_too_much: bool,
}

/// How the end of a response's body is found, in HTTP/1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyLength {
    /// There are as many bytes.
    Exact(u64),
    /// The chunked coding says where it ends.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// The framing of a response, which may have one only (RFC 9112 section 6.3): of two we might follow one, and a client behind
/// us the other.
///
/// # Errors
/// What is wrong, if the response cannot be passed on.
pub(super) fn of_response<'a>(
    status: StatusCode,
    version: Version,
    fields: impl Into<Fields<'a>>,
    head_request: bool,
) -> Result<Framed, &'static str> {
    let fields = fields.into();
    let chunked = is_chunked(fields)?;
    let length = content_length(fields)?;
    if chunked && length.is_some() {
        return Err("the backend sent both Content-Length and Transfer-Encoding");
    }
    if chunked && version == Version::HTTP_10 {
        return Err("the backend sent Transfer-Encoding in HTTP/1.0");
    }
    let says_too_much = status == StatusCode::NO_CONTENT && (chunked || length.is_some());
    // Who says that there is content where there cannot be any may send it as well.
    let is_odd = says_too_much || (chunked && (head_request || status == StatusCode::NOT_MODIFIED));
    let stays = version != Version::HTTP_10 && !connection_names(fields, "close");
    let is_empty = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    let length = match length {
        _ if head_request || is_empty.contains(&status) => BodyLength::Exact(0),
        _ if chunked => BodyLength::Chunked,
        Some(length) => BodyLength::Exact(length),
        None => BodyLength::UntilClose,
    };
    let ends = length == BodyLength::UntilClose;
    let framing = if stays && !is_odd && !ends { Framing::Reusable } else { Framing::Last };
    Ok(Framed { framing, length, says_too_much })
}

/// Whether a response that has no content, such as 101, claims to have some.
pub(super) fn claims_content(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) || !matches!(content_length(headers.into()), Ok(None | Some(0)))
}

fn is_chunked(fields: Fields<'_>) -> Result<bool, &'static str> {
    match fields.occurs(&header::TRANSFER_ENCODING) {
        Occurs::Never => Ok(false),
        Occurs::Once(coding) if coding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        Occurs::Once(_) | Occurs::Again => Err("the backend sent a transfer coding other than chunked"),
    }
}

fn content_length(fields: Fields<'_>) -> Result<Option<u64>, &'static str> {
    const WRONG: &str = "the backend sent a Content-Length that is no single number";
    match fields.occurs(&header::CONTENT_LENGTH) {
        Occurs::Never => Ok(None),
        Occurs::Once(length) => decimal(length).map(Some).ok_or(WRONG),
        Occurs::Again => Err(WRONG),
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn response(status: u16, lines: &[(&'static str, &'static str)]) -> Response<()> {
        let mut builder = Response::builder().status(status);
        for (name, value) in lines {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
    }

    fn framed(response: &Response<()>, head_request: bool) -> Result<Framing, &'static str> {
        let (status, version) = (response.status(), response.version());
        of_response(status, version, response.headers(), head_request).map(|framed| framed.framing)
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
            assert!(framed(&response(200, lines), false).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn a_connection_that_may_be_out_of_step_is_not_used_again() {
        let chunked = [("transfer-encoding", "Chunked")];
        assert_eq!(framed(&response(200, &chunked), false), Ok(Framing::Reusable));
        assert_eq!(framed(&response(200, &chunked), true), Ok(Framing::Last));
        assert_eq!(framed(&response(304, &chunked), false), Ok(Framing::Last));
        assert_eq!(framed(&response(304, &[("content-length", "5")]), false), Ok(Framing::Reusable));
        let no_content = response(204, &[("content-length", "5")]);
        assert_eq!(framed(&no_content, false), Ok(Framing::Last));
        let of = of_response(no_content.status(), Version::HTTP_11, no_content.headers(), false).unwrap();
        assert!(of.says_too_much && of.length == BodyLength::Exact(0));
        assert_eq!(framed(&response(200, &[("connection", "x, Close")]), false), Ok(Framing::Last));
        let mut old = response(200, &[]);
        *old.version_mut() = http::Version::HTTP_10;
        assert_eq!(framed(&old, false), Ok(Framing::Last));
    }
}
