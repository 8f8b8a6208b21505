//! Response heads: from bytes to status and fields (RFC 9112 sections 4 and 5). Pure.

use std::mem::MaybeUninit;

use bytes::BytesMut;
use http::{StatusCode, Version};
use httparse::{ParserConfig, Status};

use crate::core::fields::Lines;
use crate::net::http1::head::Scan;

/// Longest head in bytes.
pub const BYTES_MAX: usize = 64 * 1024;
/// Most fields of a head.
const FIELDS_MAX: usize = 100;

/// Why bytes are no head. The texts are for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Not the syntax of RFC 9112.
    #[error("{0}")]
    Malformed(&'static str),
    /// Too long, or too many fields.
    #[error("its head is too long")]
    TooLarge,
}

/// The head of a response.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The version: 1.0 or 1.1.
    pub version: Version,
    /// The fields.
    pub lines: Lines,
}

/// Takes a head off `buffer`, if all of it is there. `scan` says how much of it was looked at before; nothing is looked at twice
/// however slowly a head arrives.
///
/// # Errors
/// [`HeadError`]: nothing on this connection can be understood.
pub fn take(buffer: &mut BytesMut, scan: &mut Scan) -> Result<Option<Head>, HeadError> {
    let Some(length) = end(buffer, scan) else {
        return if buffer.len() > BYTES_MAX || is_no_http(buffer) { Err(too_long_or_none(buffer)) } else { Ok(None) };
    };
    if length > BYTES_MAX {
        return Err(HeadError::TooLarge);
    }
    *scan = Scan::default();
    parse(buffer.split_to(length)).map(Some)
}

/// The length of the head with its empty line. A line may end in a bare line feed (RFC 9112 section 2.2): what a backend means
/// by that cannot be taken for anything else.
fn end(buffer: &mut [u8], scan: &mut Scan) -> Option<usize> {
    while let Some(line) = scan.line(buffer) {
        if let (b"\n" | b"\r\n", false) = (line, scan.is_in_first_line(line.len())) {
            return Some(scan.seen());
        }
    }
    None
}

/// Whether it cannot become HTTP, so that nothing more has to be waited for.
fn is_no_http(buffer: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    buffer.iter().zip(START).any(|(is, should)| is != should)
}

fn too_long_or_none(buffer: &[u8]) -> HeadError {
    if is_no_http(buffer) { HeadError::Malformed("it does not begin with a version") } else { HeadError::TooLarge }
}

fn parse(bytes: BytesMut) -> Result<Head, HeadError> {
    let bytes = bytes.freeze();
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut response, &bytes, &mut fields) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(HeadError::Malformed("its head ends before the empty line")),
        Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooLarge),
        Err(_) => return Err(HeadError::Malformed("its status line or a field is not well formed")),
    }
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(HeadError::Malformed("it has no status"))?;
    let version = if response.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let fields = response.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    Ok(Head { status, version, lines: Lines::new(&bytes, fields) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A head, and what was left behind it.
    type Taken = Option<(Head, Vec<u8>)>;

    /// What is taken of `text`, handed over in pieces of `step` bytes.
    fn taken(text: &[u8], step: usize) -> Result<Taken, HeadError> {
        let (mut buffer, mut scan) = (BytesMut::new(), Scan::default());
        for piece in text.chunks(step) {
            buffer.extend_from_slice(piece);
            if let Some(head) = take(&mut buffer, &mut scan)? {
                return Ok(Some((head, buffer.to_vec())));
            }
        }
        Ok(None)
    }

    #[test]
    fn a_head_is_found_however_it_arrives() {
        for text in ["HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\n\r\n", "HTTP/1.1 200 OK\nX-A: 1\nx-a: 2\n\n"] {
            for step in 1..=text.len() {
                let (head, left) = taken(text.as_bytes(), step).unwrap().unwrap();
                assert_eq!((head.status, head.version), (StatusCode::OK, Version::HTTP_11));
                let x_a: Vec<_> = head.lines.iter().collect();
                assert_eq!(x_a, [(&b"x-a"[..], &b"1"[..]), (b"x-a", b"2")]);
                assert!(left.is_empty());
            }
        }
        let (_, left) = taken(b"HTTP/1.0 404 Not Found\r\n\r\nbody\n\n", 100).unwrap().unwrap();
        assert_eq!(left, b"body\n\n");
        assert!(taken(b"HTTP/1.1 204\r\n\r\n", 3).unwrap().is_some(), "the reason phrase is optional to many");
    }

    #[test]
    fn what_is_no_head_is_told_at_once() {
        for text in ["SSH-2.0-OpenSSH", "HTTP/2 200\r\n", "\r\n\r\nHTPP", "garbage\r\n\r\n"] {
            assert!(matches!(taken(text.as_bytes(), 1), Err(HeadError::Malformed(_))), "{text:?}");
        }
        for text in [
            "HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX A: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
            "HTTP/1.7 200 OK\r\n\r\n",
        ] {
            assert!(matches!(taken(text.as_bytes(), 1000), Err(HeadError::Malformed(_))), "{text:?}");
        }
    }

    #[test]
    fn a_head_without_end_is_cut_off() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(BYTES_MAX));
        assert_eq!(taken(long.as_bytes(), 4096).err(), Some(HeadError::TooLarge));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(FIELDS_MAX + 1));
        assert_eq!(taken(many.as_bytes(), 4096).err(), Some(HeadError::TooLarge));
    }

    proptest! {
        #[test]
        fn the_cut_never_matters(text in "(HTTP/1.1 200 OK\r\n)?[aX:\r\n ]{0,40}", step in 1_usize..8) {
            let fields = |step| {
                let taken = taken(text.as_bytes(), step).ok()?;
                Some(taken.map(|(head, _)| head.lines.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>()))
            };
            prop_assert_eq!(fields(step), fields(text.len().max(1)));
        }
    }
}
