//! The chunked coding (RFC 9112 section 7.1), read strictly: hexadecimal digits, an optional extension, CRLF, the data,
//! CRLF. A size line that two readers could take for different numbers is an error.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use memchr::memchr;

use super::scan::Scan;

/// Longest chunk-size line, extensions included, in bytes. Extensions are read over.
const SIZE_LINE_MAX: usize = 256;
/// Most chunk extensions of a body, in bytes: a body must not be mostly extensions.
const EXTENSION_BYTES_MAX: u64 = 16 * 1024;
/// Longest trailer section in bytes.
const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Most fields in a trailer section.
const TRAILER_FIELDS_MAX: usize = 64;
/// Most hexadecimal digits of a size: 60 bits.
const SIZE_DIGITS_MAX: usize = 15;

/// Decodes one body.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extension_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Size,
    Data {
        left: u64,
    },
    DataEnd,
    /// Whole lines of the section take up this many bytes.
    Trailers {
        read: usize,
    },
    Done,
}

/// What the next bytes of a body are.
#[derive(Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Data.
    Data(Bytes),
    /// The trailer section, with which the body ends.
    Trailers(HeaderMap),
    /// The end, without trailers.
    End,
    /// More bytes are needed to tell.
    NeedsMore,
}

/// The coding is broken. The text is for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ChunkedError(pub &'static str);

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Size, extension_bytes: 0 }
    }
}

impl Decoder {
    /// Takes the next piece of the body off `buffer`. What it leaves there after [`Decoded::NeedsMore`] is bounded.
    ///
    /// # Errors
    /// [`ChunkedError`]; the decoder is of no use afterwards.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Decoded, ChunkedError> {
        loop {
            match self.state {
                State::Size => match self.size(buffer)? {
                    Some(0) => self.state = State::Trailers { read: 0 },
                    Some(left) => self.state = State::Data { left },
                    None => return Ok(Decoded::NeedsMore),
                },
                State::Data { left } => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    if take == 0 {
                        return Ok(Decoded::NeedsMore);
                    }
                    let left = left - take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                    return Ok(Decoded::Data(buffer.split_to(take).freeze()));
                }
                State::DataEnd => match buffer.get(..2) {
                    Some(b"\r\n") => {
                        buffer.advance(2);
                        self.state = State::Size;
                    }
                    None if buffer.is_empty() || **buffer == *b"\r" => return Ok(Decoded::NeedsMore),
                    _ => return Err(ChunkedError("a chunk's data is longer than its size")),
                },
                State::Trailers { read } => return self.trailers(buffer, read),
                State::Done => return Ok(Decoded::End),
            }
        }
    }

    fn size(&mut self, buffer: &mut BytesMut) -> Result<Option<u64>, ChunkedError> {
        let Some(end) = line_end(buffer, SIZE_LINE_MAX)? else { return Ok(None) };
        let line = buffer.split_to(end + 2);
        let line = line.get(..end).unwrap_or_default();
        let (digits, extension) = line.split_at(line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count());
        if !(extension.is_empty() || extension.starts_with(b";")) {
            return Err(ChunkedError("a chunk size is not hexadecimal"));
        }
        if extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err(ChunkedError("a control character in a chunk extension"));
        }
        self.extension_bytes += extension.len() as u64;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(ChunkedError("too many chunk extensions"));
        }
        hexadecimal(digits).map(Some).ok_or(ChunkedError("a chunk size is empty or too large"))
    }

    fn trailers(&mut self, buffer: &mut BytesMut, mut read: usize) -> Result<Decoded, ChunkedError> {
        let Some(length) = section_end(buffer, &mut read)? else {
            self.state = State::Trailers { read };
            return Ok(Decoded::NeedsMore);
        };
        let section = buffer.split_to(length);
        self.state = State::Done;
        if length == 2 { Ok(Decoded::End) } else { parse_trailers(section).map(Decoded::Trailers) }
    }
}

/// The position of the CRLF that ends the first line, if it is there yet.
fn line_end(buffer: &[u8], bytes_max: usize) -> Result<Option<usize>, ChunkedError> {
    match memchr(b'\n', buffer) {
        Some(at) if at > bytes_max => Err(ChunkedError("a line of the chunked coding is too long")),
        Some(at) if at > 0 && buffer.get(at - 1) == Some(&b'\r') => Ok(Some(at - 1)),
        Some(_) => Err(ChunkedError("a line of the chunked coding ends in a bare line feed")),
        None if buffer.len() > bytes_max => Err(ChunkedError("a line of the chunked coding is too long")),
        None => Ok(None),
    }
}

/// The length of the trailer section with its empty line, if it is there yet. `read` is how far whole lines were found,
/// so that no line is read twice however slowly the section arrives.
fn section_end(buffer: &[u8], read: &mut usize) -> Result<Option<usize>, ChunkedError> {
    while let Some(end) = line_end(buffer.get(*read..).unwrap_or_default(), TRAILER_BYTES_MAX)? {
        *read += end + 2;
        if end == 0 {
            return Ok(Some(*read));
        }
        if *read > TRAILER_BYTES_MAX {
            return Err(ChunkedError("the trailer section is too long"));
        }
    }
    if buffer.len() > TRAILER_BYTES_MAX { Err(ChunkedError("the trailer section is too long")) } else { Ok(None) }
}

fn parse_trailers(mut section: BytesMut) -> Result<HeaderMap, ChunkedError> {
    const WRONG: ChunkedError = ChunkedError("the trailer section is not well formed");
    let mut scan = Scan::default();
    while let Some(line) = scan.line(&section).map_err(|_| WRONG)?.filter(|line| !line.is_empty()) {
        scan.field(&mut section, line).map_err(|_| WRONG)?;
        if scan.fields() > TRAILER_FIELDS_MAX {
            return Err(WRONG);
        }
    }
    let mut trailers = HeaderMap::new();
    scan.finish(section.freeze()).append_to(&mut trailers);
    Ok(trailers)
}

fn hexadecimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Body = (Vec<u8>, Option<HeaderMap>, Vec<u8>);

    /// Decodes `text`, handed over in pieces of `step` bytes; the data, the trailers, and what is left.
    fn decode(text: &[u8], step: usize) -> Result<Body, ChunkedError> {
        let (mut decoder, mut buffer, mut data) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in text.chunks(step) {
            buffer.extend_from_slice(piece);
            loop {
                match decoder.decode(&mut buffer)? {
                    Decoded::Data(bytes) => data.extend_from_slice(&bytes),
                    Decoded::Trailers(trailers) => return Ok((data, Some(trailers), buffer.to_vec())),
                    Decoded::End => return Ok((data, None, buffer.to_vec())),
                    Decoded::NeedsMore => break,
                }
            }
        }
        Err(ChunkedError("incomplete"))
    }

    #[test]
    fn a_body_is_decoded_however_it_is_cut() {
        let text = b"5;ext=1\r\nhello\r\n00A\r\n, chunked!\r\n0\r\nX-Sum: 7\r\n\r\n";
        for step in 1..=text.len() {
            let (data, trailers, rest) = decode(text, step).unwrap();
            assert_eq!(data, b"hello, chunked!");
            assert_eq!(trailers.unwrap()["x-sum"], "7");
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn what_follows_is_left_alone() {
        let (data, trailers, rest) = decode(b"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 1000).unwrap();
        assert_eq!((data.as_slice(), trailers, rest.as_slice()), (&b"a"[..], None, &b"GET / HTTP/1.1\r\n"[..]));
    }

    #[test]
    fn what_has_two_readings_is_refused() {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300));
        for bad in [
            "\r\na\r\n0\r\n\r\n",
            "0x1\r\na\r\n0\r\n\r\n",
            "+1\r\na\r\n0\r\n\r\n",
            "-1\r\na\r\n0\r\n\r\n",
            "1 \r\na\r\n0\r\n\r\n",
            " 1\r\na\r\n0\r\n\r\n",
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\na0\r\n\r\n",
            "1;a\rb\r\na\r\n0\r\n\r\n",
            "ffffffffffffffff\r\na",
            "1000000000000000a\r\na",
            "0\r\nX-A: b\n\r\n",
            "0\r\nX A: b\r\n\r\n",
            "0\r\n folded: b\r\n\r\n",
            long.as_str(),
        ] {
            let error = decode(bad.as_bytes(), 1).unwrap_err();
            assert_ne!(error.0, "incomplete", "{bad:?}");
        }
    }

    #[test]
    fn endless_lines_and_sections_are_cut_off() {
        let mut buffer = BytesMut::from(&[b'1'; 300][..]);
        assert!(Decoder::default().decode(&mut buffer).is_err());
        let mut buffer = BytesMut::from(format!("0\r\n{}", "X-A: b\r\n".repeat(3000)).as_bytes());
        assert!(Decoder::default().decode(&mut buffer).is_err());
        let mut buffer = BytesMut::from("1;abcdefghijklmnop\r\na\r\n".repeat(2000).as_bytes());
        let mut decoder = Decoder::default();
        let end = loop {
            match decoder.decode(&mut buffer) {
                Ok(Decoded::Data(_)) => {}
                other => break other,
            }
        };
        assert_eq!(end, Err(ChunkedError("too many chunk extensions")));
    }

    proptest! {
        #[test]
        fn the_cut_never_matters(text in "[0-9a-f;\r\nX: ]{0,64}", step in 1_usize..8) {
            let whole = decode(text.as_bytes(), text.len().max(1));
            prop_assert_eq!(decode(text.as_bytes(), step).is_ok(), whole.is_ok());
        }

        #[test]
        fn what_is_encoded_is_decoded(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), step in 1_usize..50) {
            let mut text = Vec::new();
            for piece in &pieces {
                text.extend(format!("{:x}\r\n", piece.len()).bytes());
                text.extend(piece);
                text.extend(b"\r\n");
            }
            text.extend(b"0\r\n\r\n");
            prop_assert_eq!(decode(&text, step).unwrap().0, pieces.concat());
        }
    }
}
