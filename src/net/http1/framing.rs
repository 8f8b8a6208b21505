//! How long a request's body is (RFC 9112 section 6): one answer, or none.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderName, Version};

use super::head::HeadError;
use crate::core::fields::{Fields, Occurs};

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    Empty,
    /// As many bytes as `Content-Length` says.
    Exact(u64),
    /// The chunked coding says where it ends.
    Chunked,
}

/// The framing of a request.
///
/// # Errors
/// Two `Content-Length`, two `Transfer-Encoding`, or one of each: proxies and backends disagree on which one counts, so
/// none does (RFC 9112 section 6.1 and 11.2). Any coding but `chunked`, and any length that is not plain digits, likewise.
pub fn of_request<'a>(version: Version, fields: impl Into<Fields<'a>>) -> Result<BodyLength, HeadError> {
    let fields = fields.into();
    let length = only(fields, &CONTENT_LENGTH, "more than one Content-Length")?;
    let coding = only(fields, &TRANSFER_ENCODING, "more than one Transfer-Encoding")?;
    match (length, coding) {
        (None, None) => Ok(BodyLength::Empty),
        (Some(length), None) => exact(length),
        (None, Some(_)) if version != Version::HTTP_11 => {
            Err(HeadError::Malformed("Transfer-Encoding in an HTTP/1.0 request"))
        }
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyLength::Chunked),
        (None, Some(_)) => Err(HeadError::Malformed("a Transfer-Encoding other than chunked")),
        (Some(_), Some(_)) => Err(HeadError::Malformed("both Content-Length and Transfer-Encoding")),
    }
}

fn only<'a>(fields: Fields<'a>, name: &HeaderName, otherwise: &'static str) -> Result<Option<&'a [u8]>, HeadError> {
    match fields.occurs(name) {
        Occurs::Never => Ok(None),
        Occurs::Once(value) => Ok(Some(value)),
        Occurs::Again => Err(HeadError::Malformed(otherwise)),
    }
}

fn exact(digits: &[u8]) -> Result<BodyLength, HeadError> {
    let length = decimal(digits).ok_or(HeadError::Malformed("Content-Length is not a plain number"))?;
    Ok(if length == 0 { BodyLength::Empty } else { BodyLength::Exact(length) })
}

/// Digits only: no sign, no space, no list, and no zero in front, which is octal to some. At most 18, so that sums of
/// lengths stay within 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 || (digits.len() > 1 && digits.starts_with(b"0")) {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn framing(fields: &[(&'static str, &'static str)]) -> Result<BodyLength, HeadError> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        of_request(Version::HTTP_11, &headers)
    }

    #[test]
    fn one_framing_is_read() {
        assert_eq!(framing(&[]), Ok(BodyLength::Empty));
        assert_eq!(framing(&[("content-length", "0")]), Ok(BodyLength::Empty));
        assert_eq!(framing(&[("content-length", "12")]), Ok(BodyLength::Exact(12)));
        assert_eq!(framing(&[("transfer-encoding", "Chunked")]), Ok(BodyLength::Chunked));
    }

    #[test]
    fn two_framings_are_refused() {
        for fields in [
            [("content-length", "1"), ("content-length", "1")],
            [("content-length", "1"), ("transfer-encoding", "chunked")],
            [("transfer-encoding", "chunked"), ("content-length", "1")],
            [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert!(framing(&fields).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn odd_values_are_refused() {
        for odd in ["", "+1", "010", "-1", "1, 1", "0x1", "1 ", "1.0", "9999999999999999999"] {
            assert!(framing(&[("content-length", odd)]).is_err(), "{odd}");
        }
        for odd in ["", "identity", "chunked, chunked", "gzip, chunked", "xchunked", "\"chunked\"", "chunked;q=1"] {
            assert!(framing(&[("transfer-encoding", odd)]).is_err(), "{odd}");
        }
    }
}
