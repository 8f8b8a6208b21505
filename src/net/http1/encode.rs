//! Answers: from status and fields to bytes (RFC 9112 sections 4 to 7). Pure.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, StatusCode, Version};

use crate::core::fields::{Field, Lines};
use crate::net::date;

/// How the client learns where the body of an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none, whatever the fields say: an answer to HEAD, 101, 204, 304.
    NoBody,
    /// `Content-Length`.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// The end of the connection, for HTTP/1.0.
    UntilClose,
}

/// What an answer's framing depends on.
#[derive(Debug, Clone, Copy)]
pub struct Exchange {
    /// Whether the request was a HEAD.
    pub is_head: bool,
    /// The request's version.
    pub version: Version,
    /// Whether the connection goes on after this answer.
    pub keep_alive: bool,
}

/// The framing of an answer whose body is `length` bytes long, if that is known. Where the connection has to end for the answer
/// to have an end, it does not go on.
#[must_use]
pub fn framing(exchange: &mut Exchange, status: StatusCode, length: Option<u64>) -> Framing {
    let never = [StatusCode::SWITCHING_PROTOCOLS, StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    if exchange.is_head || never.contains(&status) {
        return Framing::NoBody;
    }
    match length {
        Some(length) => Framing::Length(length),
        None if exchange.version == Version::HTTP_11 => Framing::Chunked,
        None => {
            exchange.keep_alive = false;
            Framing::UntilClose
        }
    }
}

/// Writes the status line and the fields: those in `headers`, and those in `lines`. Framing and connection fields are ours;
/// theirs are left out.
pub fn head(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    status: StatusCode,
    headers: &HeaderMap,
    lines: Option<&Lines>,
    framing: Framing,
) {
    status_line(out, status);
    let leaves_length_out = framing != Framing::NoBody || has_no_length(status);
    let mut has_date = false;
    let mut stays = |name: &[u8]| match name {
        b"transfer-encoding" | b"connection" => false,
        b"content-length" => !leaves_length_out,
        b"date" => {
            has_date = true;
            true
        }
        _ => true,
    };
    for (name, value) in headers {
        if stays(name.as_str().as_bytes()) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    if let Some(lines) = lines {
        lines.write_to(out, |name, _| stays(name));
    }
    match framing {
        Framing::Length(length) => field(out, b"content-length", itoa::Buffer::new().format(length).as_bytes()),
        Framing::Chunked => field(out, b"transfer-encoding", b"chunked"),
        Framing::NoBody | Framing::UntilClose => {}
    }
    if !has_date {
        field(out, b"date", date::now().as_bytes());
    }
    match (exchange.keep_alive, exchange.version) {
        _ if status == StatusCode::SWITCHING_PROTOCOLS => field(out, b"connection", b"Upgrade"),
        (false, _) => field(out, b"connection", b"close"),
        (true, Version::HTTP_10) => field(out, b"connection", b"keep-alive"),
        (true, _) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Statuses that have no `Content-Length`, not even one that stands for another answer's (RFC 9110 section 8.6).
fn has_no_length(status: StatusCode) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS || status == StatusCode::NO_CONTENT
}

/// Writes an informational answer.
pub fn interim(out: &mut Vec<u8>, status: StatusCode, headers: &HeaderMap) {
    status_line(out, status);
    for (name, value) in headers {
        let framing: [&HeaderName; 3] = [&TRANSFER_ENCODING, &CONNECTION, &CONTENT_LENGTH];
        if !framing.contains(&name) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes what goes before a chunk's data; CRLF goes behind it.
pub fn chunk_size(out: &mut Vec<u8>, bytes: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = (usize::BITS - bytes.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (bytes >> (4 * place)) & 0xf;
        out.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the last chunk and the trailer section.
pub fn last_chunk(out: &mut Vec<u8>, trailers: Option<&HeaderMap>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        field(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes a field.
pub fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    Field::new(name, value).write_to(out);
}

/// Whether an answer asks for its connection to be closed.
#[must_use]
pub fn asks_to_close(headers: &HeaderMap) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| has_token(value.as_bytes(), "close"))
}

/// Whether a comma-separated field value holds `token`, in any case (RFC 9110 section 5.6.1).
#[must_use]
pub fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::DATE;

    use super::*;

    const HTTP_11: Exchange = Exchange { is_head: false, version: Version::HTTP_11, keep_alive: true };

    fn encoded(
        exchange: &Exchange,
        status: u16,
        fields: &[(&'static str, &'static str)],
        length: Option<u64>,
    ) -> String {
        let status = StatusCode::from_u16(status).unwrap();
        let mut headers = HeaderMap::from_iter([(DATE, HeaderValue::from_static("now"))]);
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let mut out = Vec::new();
        let mut exchange = *exchange;
        let framing = framing(&mut exchange, status, length);
        head(&mut out, &exchange, status, &headers, None, framing);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_answer_has_one_framing() {
        let odd = [("content-length", "99"), ("transfer-encoding", "gzip"), ("connection", "x")];
        assert_eq!(encoded(&HTTP_11, 200, &odd, Some(5)), "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 5\r\n\r\n");
        assert_eq!(
            encoded(&HTTP_11, 200, &odd, None),
            "HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        assert_eq!(encoded(&HTTP_11, 204, &odd, None), "HTTP/1.1 204 No Content\r\ndate: now\r\n\r\n");
    }

    #[test]
    fn switching_protocols_has_no_framing_and_says_what_the_connection_becomes() {
        let fields = [("upgrade", "x"), ("content-length", "9"), ("connection", "close")];
        assert_eq!(
            encoded(&HTTP_11, 101, &fields, None),
            "HTTP/1.1 101 Switching Protocols\r\ndate: now\r\nupgrade: x\r\nconnection: Upgrade\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_to_head_keeps_the_length_it_stands_for() {
        let exchange = Exchange { is_head: true, ..HTTP_11 };
        let answer = encoded(&exchange, 200, &[("content-length", "99")], Some(0));
        assert_eq!(answer, "HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 99\r\n\r\n");
    }

    #[test]
    fn http_1_0_ends_with_the_connection_unless_the_length_is_known() {
        let exchange = Exchange { version: Version::HTTP_10, ..HTTP_11 };
        assert!(encoded(&exchange, 200, &[], None).contains("connection: close"));
        assert!(encoded(&exchange, 200, &[], Some(1)).contains("connection: keep-alive"));
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        for (size, text) in [(0, "0\r\n"), (1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65_536, "10000\r\n")] {
            let mut out = Vec::new();
            chunk_size(&mut out, size);
            assert_eq!(out, text.as_bytes());
        }
    }
}
