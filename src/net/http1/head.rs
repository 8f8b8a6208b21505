//! Request heads: from bytes to method, target and fields (RFC 9112 sections 2, 3 and 5), or to a refusal.

use bytes::BytesMut;
use http::{Method, Version};

pub use super::scan::Scan;
pub use crate::net::head::{Head, HeadError};

/// Most header fields in a request.
pub const HEADERS_MAX: usize = 128;

impl Scan {
    /// Looks for the empty line that ends the head of a request in `buffer`, which starts with it; `Some(length)` once it is
    /// there. Names of fields are put in lower case.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for an empty first line, for a control character, and for the line of a field that is not well
    /// formed, as soon as it is there; [`HeadError::TooLarge`] once `bytes_max` is passed, and for too many fields.
    pub fn request_end(&mut self, buffer: &mut [u8], bytes_max: usize) -> Result<Option<usize>, HeadError> {
        while let Some(line) = self.line(buffer).map_err(HeadError::Malformed)? {
            if line.ends_bare() {
                return Err(HeadError::Malformed("a line ends in a bare line feed"));
            }
            match (line.is_first(), line.is_empty()) {
                (true, true) => return Err(HeadError::Malformed("an empty line in place of a request line")),
                (true, false) => {}
                (false, true) if line.end > bytes_max => return Err(HeadError::TooLarge),
                (false, true) => return Ok(Some(line.end)),
                (false, false) => self.field(buffer, line).map_err(HeadError::Malformed)?,
            }
            if self.fields() > HEADERS_MAX {
                return Err(HeadError::TooLarge);
            }
        }
        if buffer.len() > bytes_max { Err(HeadError::TooLarge) } else { Ok(None) }
    }
}

/// Takes a head off the bytes that begin with it, if all of it is there.
///
/// # Errors
/// As those of [`Scan::request_end`], and [`HeadError`] for whatever RFC 9112 does not allow in a request.
pub fn take(bytes: &mut BytesMut, bytes_max: usize) -> Result<Option<Head>, HeadError> {
    let mut scan = Scan::default();
    scan.skip_empty_line(bytes);
    match scan.request_end(bytes, bytes_max)? {
        Some(length) => parse(bytes.split_to(length), scan).map(Some),
        None => Ok(None),
    }
}

/// Makes the head of its bytes, its final empty line included, and of what [`Scan::request_end`] has found in them.
///
/// # Errors
/// [`HeadError`], for whatever RFC 9112 does not allow in a request; leniency is where smuggling begins.
pub(super) fn parse(bytes: BytesMut, scan: Scan) -> Result<Head, HeadError> {
    let (method, target, version) = request_line(scan.first_line(&bytes))?;
    let target = Head::target_of(target)?;
    Ok(Head::of_lines(method, target, version, scan.finish(bytes.freeze())))
}

/// Method, target and version (RFC 9112 section 3), with one space between them.
fn request_line(line: &[u8]) -> Result<(Method, &[u8], Version), HeadError> {
    const WRONG: HeadError = HeadError::Malformed("the request line is not a method, a target and a version");
    let method_end = line.iter().position(|byte| *byte == b' ').ok_or(WRONG)?;
    let (method, rest) = line.split_at(method_end);
    let (target, version) =
        rest.len().checked_sub(" HTTP/1.1".len()).and_then(|at| rest.split_at_checked(at)).ok_or(WRONG)?;
    let version = match version {
        b" HTTP/1.1" => Version::HTTP_11,
        b" HTTP/1.0" => Version::HTTP_10,
        [b' ', b'H', b'T', b'T', b'P', b'/', ..] => {
            return Err(HeadError::Malformed("the version is neither HTTP/1.1 nor HTTP/1.0"));
        }
        _ => return Err(WRONG),
    };
    let target = target.get(1..).filter(|target| !target.is_empty()).ok_or(WRONG)?;
    if target.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(WRONG);
    }
    let method = Method::from_bytes(method).map_err(|_| HeadError::Malformed("the method is no token"))?;
    Ok((method, target, version))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Head, HeadError> {
        let head = take(&mut BytesMut::from(text), 1024)?.ok_or(HeadError::Malformed("incomplete"))?;
        head.check_host().map(|()| head)
    }

    #[test]
    fn a_plain_head_is_taken_apart() {
        let head = parsed("GET /a?b HTTP/1.1\r\nHost: h\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\nrest").unwrap();
        assert_eq!((head.method.as_str(), head.target(), head.version), ("GET", "/a?b", Version::HTTP_11));
        assert_eq!(head.headers().get_all("x-twice").iter().count(), 2);
        let mut lengths = Vec::new();
        head.fields().for_each(|field| lengths.push(field.name.len()));
        assert_eq!(lengths, [4, 7, 7]);
    }

    #[test]
    fn whatever_is_let_through_is_a_field_for_everybody_else() {
        for byte in 0..=u8::MAX {
            let with = |before: &[u8], after: &[u8]| {
                let text = [b"GET / HTTP/1.1\r\n", before, &[byte], after, b"\r\n\r\n"].concat();
                take(&mut BytesMut::from(&text[..]), 1024)
            };
            for head in [with(b"x", b"y: 1"), with(b"x: a", b"b")].into_iter().flatten().flatten() {
                assert_eq!(head.headers().len(), head.fields().len(), "{byte:#x}");
                assert_eq!(head.fields().len(), 1, "{byte:#x}");
            }
        }
    }

    #[test]
    fn whatever_has_two_readings_is_refused() {
        for bad in [
            "GET / HTTP/1.1\nHost: h\n\n",
            "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n: v\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: h\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "\r\n\r\nGET /A:b HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://h/ HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
        ] {
            assert!(matches!(parsed(bad), Err(HeadError::Malformed(_))), "{bad:?}");
        }
    }

    #[test]
    fn one_empty_line_is_skipped_however_it_arrives_and_no_other() {
        let taken = |text: &str, step: usize| {
            let (mut scan, mut buffer) = (Scan::default(), BytesMut::new());
            for piece in text.as_bytes().chunks(step) {
                buffer.extend_from_slice(piece);
                scan.skip_empty_line(&mut buffer);
                if let Some(length) = scan.request_end(&mut buffer, 1024)? {
                    return Ok(buffer.split_to(length));
                }
            }
            Err(HeadError::Malformed("incomplete"))
        };
        let head = "GET /A:b HTTP/1.1\r\nhost: h\r\n\r\n";
        for step in 1..=head.len() + 4 {
            assert_eq!(taken(&format!("\r\n{head}"), step).unwrap(), head, "{step}");
            let refused = HeadError::Malformed("an empty line in place of a request line");
            assert_eq!(taken(&format!("\r\n\r\n{head}"), step), Err(refused), "{step}");
        }
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let text = &mut b"GET / HTTP/1.1\r\nHost: h\r\n\r\nbody\n".to_owned();
        let mut scan = Scan::default();
        for length in 0..text.len() - 5 {
            assert_eq!(scan.request_end(&mut text[..length], 1024), Ok(None), "{length}");
        }
        assert_eq!(scan.request_end(text, 1024), Ok(Some(text.len() - 5)));
        assert_eq!(Scan::default().request_end(text, 20), Err(HeadError::TooLarge));
    }

    type NamesAndValues = Vec<(String, Vec<u8>)>;

    /// What `httparse` makes of a head, names in lower case. It takes lines that end in a bare line feed as well, and any number
    /// of empty ones in front.
    fn by_httparse(text: &str) -> Option<(String, String, u8, NamesAndValues)> {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        let status = request.parse(text.as_bytes()).ok()?;
        let fields = request.headers.iter().map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()));
        status.is_complete().then_some(())?;
        Some((request.method?.to_owned(), request.path?.to_owned(), request.version?, fields.collect()))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_taken_is_what_another_parser_takes(
            line in "(GET|G:T|[A ]{0,2}) (/[a?\u{e9}\t ]{0,3}| ?)( HTTP/1[.][012])?",
            fields in prop::collection::vec("[A-b!:\t ]{0,3}:?[ \t]{0,2}[a:\u{0}\u{7f}\u{e9} \t\r]{0,12}[ \t]{0,2}", 0..4),
        ) {
            let text: String = std::iter::once(&line).chain(&fields).map(|line| format!("{line}\r\n")).collect();
            let text = text + "\r\n";
            let ours = take(&mut BytesMut::from(&*text), 1024).ok().flatten().map(|head| {
                let mut fields = Vec::new();
                head.fields().for_each(|field| {
                    let mut written = Vec::new();
                    field.write_to(&mut written);
                    assert_eq!(written, [field.name, b": ", field.value, b"\r\n"].concat());
                    fields.push((String::from_utf8_lossy(field.name).into_owned(), field.value.to_vec()));
                });
                let minor = u8::from(head.version == Version::HTTP_11);
                (head.method.to_string(), head.target().to_owned(), minor, fields)
            });
            prop_assert_eq!(ours, by_httparse(&text), "{:?}", text);
        }
    }
}
