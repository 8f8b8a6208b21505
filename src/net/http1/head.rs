//! Request heads: from bytes to method, target and fields (RFC 9112 sections 2, 3 and 5), or to a refusal.

use std::mem::{self, MaybeUninit};

use bytes::{Buf, BytesMut};
use http::{Method, Version};
use memchr::memchr;

use crate::core::fields::Lines;
pub use crate::net::head::{Head, HeadError};

/// Most header fields in a request.
pub const HEADERS_MAX: usize = 128;

/// Where a search for the end of a head has come to, so that no byte is looked at twice however slowly they arrive.
#[derive(Debug, Default, Clone, Copy)]
pub struct Scan {
    line_start: usize,
    seen: usize,
    has_skipped: bool,
}

impl Scan {
    /// Removes the empty line that some clients send before a request line (RFC 9112 section 2.2): one, however it arrives. The
    /// next one is refused ([`Scan::end`]).
    pub fn skip_empty_line(&mut self, buffer: &mut BytesMut) {
        if !self.has_skipped && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            *self = Self { has_skipped: true, ..Self::default() };
        }
    }

    /// Looks for the empty line that ends the head in `buffer`, which starts with the head; `Some(length)` once it is
    /// there. Refuses a line feed without carriage return as soon as it is seen: some readers end a line there.
    ///
    /// Names of fields are put in lower case, as everybody behind compares and sends them: whatever stands at the beginning
    /// of a line, up to its colon. The first line has none.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] for a bare line feed and for an empty first line, [`HeadError::TooLarge`] once `bytes_max` is
    /// passed.
    pub fn end(&mut self, buffer: &mut [u8], bytes_max: usize) -> Result<Option<usize>, HeadError> {
        while let Some(line) = self.line(buffer) {
            match line {
                [.., b'\r', b'\n'] => {}
                _ => return Err(HeadError::Malformed("a line ends in a bare line feed")),
            }
            if line.len() == 2 {
                if self.is_in_first_line(2) {
                    return Err(HeadError::Malformed("an empty line in place of a request line"));
                }
                return if self.seen > bytes_max { Err(HeadError::TooLarge) } else { Ok(Some(self.seen)) };
            }
        }
        if buffer.len() > bytes_max { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    /// The next line, with its line feed, once that is there.
    pub(crate) fn line<'a>(&mut self, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
        let Some(found) = buffer.get(self.seen..).and_then(|rest| memchr(b'\n', rest)) else {
            self.seen = buffer.len();
            return None;
        };
        self.seen += found + 1;
        let line = buffer.get_mut(mem::replace(&mut self.line_start, self.seen)..self.seen)?;
        if line.len() < self.seen {
            let name = line.iter_mut().take_while(|byte| **byte != b':');
            name.for_each(|byte| byte.make_ascii_lowercase());
        }
        Some(line)
    }

    /// How far the lines go that were found.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }

    /// Whether the last line that was found, of this length, is the first one.
    pub(crate) fn is_in_first_line(&self, length: usize) -> bool {
        self.line_start == length
    }
}

/// Takes a head off the bytes that begin with it, if all of it is there.
///
/// # Errors
/// As those of [`Scan::end`], and [`HeadError`] for whatever RFC 9112 does not allow in a request.
pub fn take(bytes: &mut BytesMut, bytes_max: usize) -> Result<Option<Head>, HeadError> {
    let mut scan = Scan::default();
    scan.skip_empty_line(bytes);
    match scan.end(bytes, bytes_max)? {
        Some(length) => parse(bytes.split_to(length)).map(Some),
        None => Ok(None),
    }
}

/// Parses one whole head, its final empty line included, as [`Scan::end`] has left it.
///
/// # Errors
/// [`HeadError`], for whatever RFC 9112 does not allow in a request; leniency is where smuggling begins.
pub(super) fn parse(bytes: BytesMut) -> Result<Head, HeadError> {
    let bytes = bytes.freeze();
    let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(&bytes, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(HeadError::Malformed("the head ends before its empty line")),
        Err(error) => return Err(explain(error)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(HeadError::Malformed("the request line is incomplete"));
    };
    let version = if minor == 1 { Version::HTTP_11 } else { Version::HTTP_10 };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadError::Malformed("the method is no token"))?;
    let fields = request.headers.iter().map(|field| (field.name.as_bytes(), field.value));
    Head::of_lines(method, target.as_bytes(), version, Lines::new(&bytes, fields))
}

fn explain(error: httparse::Error) -> HeadError {
    HeadError::Malformed(match error {
        httparse::Error::TooManyHeaders => return HeadError::TooLarge,
        httparse::Error::HeaderName => "a header name is no token, or is not followed by its colon",
        httparse::Error::HeaderValue => "a header value holds a control character or is folded over lines",
        httparse::Error::NewLine => "a carriage return without line feed",
        httparse::Error::Token => "the request line is not a method, a target and a version",
        httparse::Error::Version => "the version is neither HTTP/1.1 nor HTTP/1.0",
        httparse::Error::Status => "not a request",
    })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(head.fields().iter().map(|(name, _)| name.len()).collect::<Vec<_>>(), [4, 7, 7]);
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
                if let Some(length) = scan.end(&mut buffer, 1024)? {
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
            assert_eq!(scan.end(&mut text[..length], 1024), Ok(None), "{length}");
        }
        assert_eq!(scan.end(text, 1024), Ok(Some(text.len() - 5)));
        assert_eq!(Scan::default().end(text, 20), Err(HeadError::TooLarge));
    }
}
