//! HTTP/1.1 messages (RFC 9112), read strictly off a byte stream: what the gateway writes, to either side, has to be
//! beyond doubt. No line ends in a bare LF, no field is folded, no message has two framings.

use std::io::{self, ErrorKind, Read};

/// Header or trailer fields in the order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// All values of a field, as they came.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The value of a field that is there once. Panics when it is there twice.
    pub(crate) fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.all(name);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} more than once in {self:?}");
        value
    }

    /// Whether a comma-separated field holds this element.
    pub(crate) fn lists(&self, name: &str, element: &str) -> bool {
        self.all(name).flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(element))
    }
}

/// Start line and header fields of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) start_line: String,
    pub(crate) fields: Fields,
}

/// How a message's end is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunked; so many bytes of the current chunk are still to come.
    Chunked(u64),
    /// With the connection.
    UntilClose,
    /// It has ended.
    Ended,
}

impl Framing {
    /// As the fields say; `otherwise` where they say nothing.
    pub(crate) fn of(fields: &Fields, otherwise: Self) -> io::Result<Self> {
        let (mut codings, mut lengths) = (fields.all("transfer-encoding"), fields.all("content-length"));
        let found = (codings.next(), lengths.next());
        if codings.next().is_some() || lengths.next().is_some() {
            return Err(malformed("a framing field twice"));
        }
        match found {
            (None, None) => Ok(otherwise),
            (None, Some(length)) => {
                let digits = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                let length = digits.then(|| length.parse().ok()).flatten();
                Ok(Self::Length(length.ok_or_else(|| malformed("Content-Length is no number"))?))
            }
            (Some(coding), None) if coding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked(0)),
            (Some(_), None) => Err(malformed("a transfer coding other than chunked")),
            (Some(_), Some(_)) => Err(malformed("two framings")),
        }
    }
}

/// A byte stream, taken apart into messages.
pub(crate) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
    /// Everything read so far, up to this length: the record of what was really sent.
    record: Vec<u8>,
    record_bytes_max: usize,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(stream: R, record_bytes_max: usize) -> Self {
        Self { stream, buffer: Vec::new(), record: Vec::new(), record_bytes_max }
    }

    /// What was read since this was last asked for.
    pub(crate) fn take_record(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.record)
    }

    /// The next head; `None` when the stream ends before its first byte.
    pub(crate) fn head(&mut self) -> io::Result<Option<Head>> {
        if self.buffer.is_empty() && self.fill()? == 0 {
            return Ok(None);
        }
        let start_line = self.line()?;
        Ok(Some(Head { start_line, fields: self.fields()? }))
    }

    /// The next piece of a body; `None` at its end, when the trailers are in `trailers`.
    pub(crate) fn piece(&mut self, framing: &mut Framing, trailers: &mut Fields) -> io::Result<Option<Vec<u8>>> {
        match *framing {
            Framing::Ended | Framing::Length(0) => Ok(self.end(framing)),
            Framing::Length(left) => {
                let piece = self.some(left)?;
                *framing = Framing::Length(left - piece.len() as u64);
                Ok(Some(piece))
            }
            Framing::UntilClose => {
                if self.buffer.is_empty() && self.fill()? == 0 {
                    return Ok(self.end(framing));
                }
                Ok(Some(std::mem::take(&mut self.buffer)))
            }
            Framing::Chunked(0) => {
                let size = self.chunk_size()?;
                if size == 0 {
                    *trailers = self.fields()?;
                    return Ok(self.end(framing));
                }
                *framing = Framing::Chunked(size);
                self.piece(framing, trailers)
            }
            Framing::Chunked(left) => {
                let piece = self.some(left)?;
                let left = left - piece.len() as u64;
                if left == 0 && !self.line()?.is_empty() {
                    return Err(malformed("a chunk is longer than its size"));
                }
                *framing = Framing::Chunked(left);
                Ok(Some(piece))
            }
        }
    }

    fn end(&self, framing: &mut Framing) -> Option<Vec<u8>> {
        *framing = Framing::Ended;
        None
    }

    fn chunk_size(&mut self) -> io::Result<u64> {
        let line = self.line()?;
        let digits = line.split(';').next().unwrap_or_default();
        let hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let size = hex.then(|| u64::from_str_radix(digits, 16).ok()).flatten();
        size.ok_or_else(|| malformed(&format!("{line:?} is no chunk size")))
    }

    fn fields(&mut self) -> io::Result<Fields> {
        let mut fields = Fields::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("a field without a colon"))?;
            if name.is_empty() || !name.bytes().all(is_token_byte) {
                return Err(malformed(&format!("{name:?} is no field name")));
            }
            fields.0.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
        }
    }

    /// A line without its CRLF.
    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.pop();
                if line.pop() != Some(b'\r') || line.iter().any(|byte| matches!(byte, b'\r' | 0)) {
                    return Err(malformed("a line that does not end in CRLF, or holds a CR or NUL"));
                }
                return String::from_utf8(line).map_err(|_| malformed("a line that is not UTF-8"));
            }
            self.fill_or_fail()?;
        }
    }

    /// At least one and at most `most` bytes.
    pub(crate) fn some(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill_or_fail()?;
        }
        let length = usize::try_from(most).unwrap_or(usize::MAX).min(self.buffer.len());
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill_or_fail(&mut self) -> io::Result<()> {
        let closed = || io::Error::new(ErrorKind::UnexpectedEof, "the connection ended within a message");
        if self.fill()? == 0 { Err(closed()) } else { Ok(()) }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 64 * 1024];
        let length = self.stream.read(&mut piece)?;
        self.buffer.extend_from_slice(&piece[..length]);
        let room = self.record_bytes_max.saturating_sub(self.record.len());
        self.record.extend_from_slice(&piece[..length.min(room)]);
        Ok(length)
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

pub(crate) fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}
