//! Response heads: from bytes to status and fields (RFC 9112 sections 4 and 5). Pure.

use std::mem;

use bytes::BytesMut;
use http::{StatusCode, Version};

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
    let Some(length) = end(buffer, scan)? else {
        return if buffer.len() > BYTES_MAX || is_no_http(buffer) { Err(too_long_or_none(buffer)) } else { Ok(None) };
    };
    if length > BYTES_MAX {
        return Err(HeadError::TooLarge);
    }
    parse(buffer.split_to(length), mem::take(scan)).map(Some)
}

/// The length of the head with its empty line. A line may end in a bare line feed (RFC 9112 section 2.2): what a backend means
/// by that cannot be taken for anything else.
fn end(buffer: &mut [u8], scan: &mut Scan) -> Result<Option<usize>, HeadError> {
    const WRONG: HeadError = HeadError::Malformed("its status line or a field is not well formed");
    while let Some(line) = scan.line(buffer).map_err(|_| WRONG)? {
        match (line.is_first(), line.is_empty()) {
            (true, true) => return Err(WRONG),
            (true, false) => {}
            (false, true) => return Ok(Some(line.end)),
            (false, false) => scan.field(buffer, line).map_err(|_| WRONG)?,
        }
        if scan.fields() > FIELDS_MAX {
            return Err(HeadError::TooLarge);
        }
    }
    Ok(None)
}

/// Whether it cannot become HTTP, so that nothing more has to be waited for.
fn is_no_http(buffer: &[u8]) -> bool {
    const START: &[u8] = b"HTTP/1.";
    buffer.iter().zip(START).any(|(is, should)| is != should)
}

fn too_long_or_none(buffer: &[u8]) -> HeadError {
    if is_no_http(buffer) { HeadError::Malformed("it does not begin with a version") } else { HeadError::TooLarge }
}

fn parse(bytes: BytesMut, scan: Scan) -> Result<Head, HeadError> {
    let (status, version) = status_line(scan.first_line(&bytes))?;
    Ok(Head { status, version, lines: scan.finish(bytes.freeze()) })
}

/// Version and status (RFC 9112 section 4). The reason phrase, with the space before it, is optional to many.
fn status_line(line: &[u8]) -> Result<(StatusCode, Version), HeadError> {
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', rest @ ..] = line else {
        return Err(HeadError::Malformed("it does not begin with a version"));
    };
    let version = if *minor == b'1' { Version::HTTP_11 } else { Version::HTTP_10 };
    match rest.split_at_checked(3) {
        Some((digits, [] | [b' ', ..])) => {
            let status = StatusCode::from_bytes(digits).map_err(|_| HeadError::Malformed("it has no status"))?;
            Ok((status, version))
        }
        _ => Err(HeadError::Malformed("it has no status")),
    }
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
                let x_a: Vec<_> = head.lines.iter().map(|field| (field.name, field.value)).collect();
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

    type NamesAndValues = Vec<(String, Vec<u8>)>;

    /// Status, version and fields as `httparse` finds them; it skips empty lines in front.
    fn by_httparse(text: &str) -> Option<(u16, u8, NamesAndValues)> {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut response = httparse::Response::new(&mut fields);
        let is_complete = response.parse(text.as_bytes()).ok()?.is_complete() && !text.starts_with(['\r', '\n']);
        let fields = response.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()));
        is_complete.then_some((response.code.filter(|code| *code >= 100)?, response.version?, fields.collect()))
    }

    proptest! {
        #[test]
        fn the_cut_never_matters(text in "(HTTP/1.1 200 OK\r\n)?[aX:\r\n ]{0,40}", step in 1_usize..8) {
            let fields = |step| {
                let taken = taken(text.as_bytes(), step).ok()?;
                Some(taken.map(|(head, _)| head.lines.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect::<Vec<_>>()))
            };
            prop_assert_eq!(fields(step), fields(text.len().max(1)));
        }

        #[test]
        fn what_is_taken_is_what_another_parser_takes(
            line in "HTTP/1[.][0-2] [0-9 ]{3}( [O\u{e9}\t ]{0,3})?\r?\n",
            fields in prop::collection::vec("[A-b!:\t ]{0,3}:?[ \t]{0,2}[a:\u{0}\u{e9} \t\r]{0,12}[ \t]{0,2}\r?\n", 0..4),
        ) {
            let text = format!("{line}{}\r\n", fields.concat());
            let ours = taken(text.as_bytes(), text.len()).ok().flatten().map(|(head, _)| {
                for without in [&b""[..], b"a", b"b"] {
                    let mut written = Vec::new();
                    head.lines.write_to(&mut written, |name, _| name != without);
                    let left = head.lines.iter().filter(|field| field.name != without);
                    let expected: Vec<_> = left.flat_map(|field| [field.name, b": ", field.value, b"\r\n"].concat()).collect();
                    assert_eq!(written, expected);
                }
                let fields = head.lines.iter().map(|field| (String::from_utf8_lossy(field.name).into(), field.value.into()));
                (head.status.as_u16(), u8::from(head.version == Version::HTTP_11), fields.collect())
            });
            prop_assert_eq!(ours, by_httparse(&text), "{:?}", text);
        }
    }
}
