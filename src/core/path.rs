//! The one canonical path.
//!
//! A gateway that reads a path differently from the backend behind it guards the wrong resource. So nothing is repaired
//! here: a path that anybody on its way might read differently is refused, and what is left has the same meaning for
//! everybody. It is matched percent-decoded and forwarded byte for byte.
//!
//! RFC 3986 section 3.3 does not allow `"`, `[`, `]`, `^`, `{`, `|` and `}` in a path. Browsers and HTTP clients send them
//! all the same, and nobody reads them as anything else, so they are accepted. Space, `<`, `>` and the backtick are
//! not: every client escapes them, and servers disagree about what to do where one does not.

use std::borrow::Cow;
use std::fmt;

use super::rejection::{Reason, Rejection};

/// A path with one meaning only: percent-decoded, starting with `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

impl<'a> CanonicalPath<'a> {
    /// Checks and decodes a request's path, which ends before the query. Allocates only if something is escaped.
    ///
    /// # Errors
    /// `path_ambiguous` for a path that somebody on its way could read differently. The detail names the rule, and the
    /// byte of `raw` that breaks it, counted from 0.
    pub fn parse(raw: &'a str) -> Result<Self, Rejection> {
        let decoded = match check(raw.as_bytes())? {
            Escapes::None => Cow::Borrowed(raw),
            Escapes::Some => Cow::Owned(decode(raw.as_bytes())?),
        };
        Ok(Self(decoded))
    }

    /// The decoded path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

enum Escapes {
    None,
    Some,
}

/// Which rule a path breaks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fault {
    rule: Rule,
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    NoSlash,
    EmptySegment,
    DotSegment,
    Backslash,
    Semicolon,
    Hash,
    Query,
    Control,
    NonAscii,
    Unescaped,
    BadEscape,
    EncodedSlash,
    EncodedBackslash,
    EncodedDot,
    EncodedSemicolon,
    EncodedControl,
    DoubleEncoding,
    NotUtf8,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSlash => "the path does not start with a slash",
            Self::EmptySegment => "empty segment",
            Self::DotSegment => "dot segment",
            Self::Backslash => "backslash",
            Self::Semicolon => "semicolon (matrix parameter)",
            Self::Hash => "'#' (fragment)",
            Self::Query => "'?' within the path",
            Self::Control => "control character",
            Self::NonAscii => "byte outside ASCII that is not percent-encoded",
            Self::Unescaped => "character that has to be percent-encoded",
            Self::BadEscape => "'%' without two hex digits",
            Self::EncodedSlash => "encoded slash",
            Self::EncodedBackslash => "encoded backslash",
            Self::EncodedDot => "encoded dot",
            Self::EncodedSemicolon => "encoded semicolon",
            Self::EncodedControl => "encoded control character",
            Self::DoubleEncoding => "double encoding",
            Self::NotUtf8 => "escapes that are not UTF-8",
        })
    }
}

impl From<Fault> for Rejection {
    fn from(Fault { rule, at }: Fault) -> Self {
        Self::new(Reason::PathAmbiguous, format!("{rule} at byte {at} of the path"))
    }
}

/// Goes over the path once. All rules are checked here but that of UTF-8, which [`decode`] sees to.
fn check(raw: &[u8]) -> Result<Escapes, Fault> {
    let mut escapes = Escapes::None;
    if raw.first() != Some(&b'/') {
        return Err(Fault { rule: Rule::NoSlash, at: 0 });
    }
    let mut from = 0;
    while let Some((at, class)) = next_special(raw, from) {
        let tail = raw.get(at + 1..).unwrap_or_default();
        match class {
            Class::Plain => {}
            Class::Slash => check_segment_start(tail).map_err(|rule| Fault { rule, at: at + 1 })?,
            Class::Percent => {
                check_escape(tail).map_err(|rule| Fault { rule, at })?;
                escapes = Escapes::Some;
            }
            Class::Refused(rule) => return Err(Fault { rule, at }),
        }
        from = at + 1;
    }
    Ok(escapes)
}

/// The first byte from `from` on that is not plain.
fn next_special(raw: &[u8], from: usize) -> Option<(usize, Class)> {
    let is_special = |byte: &u8| !matches!(class(*byte), Class::Plain);
    let at = from + raw.get(from..)?.iter().position(is_special)?;
    Some((at, class(*raw.get(at)?)))
}

/// Looks at what follows a slash. An escaped dot or slash is refused as such, so the raw bytes tell all.
fn check_segment_start(segment: &[u8]) -> Result<(), Rule> {
    match segment {
        [b'/', ..] => Err(Rule::EmptySegment),
        [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..] => Err(Rule::DotSegment),
        _ => Ok(()),
    }
}

/// Looks at what follows a `%`.
fn check_escape(digits: &[u8]) -> Result<(), Rule> {
    let (byte, tail) = unescape(digits).ok_or(Rule::BadEscape)?;
    match byte {
        b'/' => Err(Rule::EncodedSlash),
        b'\\' => Err(Rule::EncodedBackslash),
        b'.' => Err(Rule::EncodedDot),
        b';' => Err(Rule::EncodedSemicolon),
        0..=0x1f | 0x7f => Err(Rule::EncodedControl),
        b'%' if decodes_to_two_hex_digits(tail) => Err(Rule::DoubleEncoding),
        // U+0080 to U+009F. In UTF-8 0xC2 is always the first of two bytes, so nothing else looks like this.
        0xc2 if matches!(decoded_first(tail), Some((0x80..=0x9f, _))) => Err(Rule::EncodedControl),
        _ => Ok(()),
    }
}

/// Whether a further decoding would find an escape here. The digits may be escaped themselves (`%25%32%65`).
fn decodes_to_two_hex_digits(bytes: &[u8]) -> bool {
    let hex = |bytes| decoded_first(bytes).filter(|(byte, _)| byte.is_ascii_hexdigit());
    hex(bytes).and_then(|(_, tail)| hex(tail)).is_some()
}

/// The first byte once decoded, and what follows it.
fn decoded_first(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes.split_first()? {
        (b'%', digits) => unescape(digits),
        (&byte, tail) => Some((byte, tail)),
    }
}

/// The byte that two hex digits stand for, and what follows them.
fn unescape(digits: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], tail) = digits.split_first_chunk()?;
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some((value(high)? << 4 | value(low)?, tail))
}

/// Decodes a path that has been checked.
fn decode(raw: &[u8]) -> Result<String, Fault> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((byte, tail)) = decoded_first(rest) {
        decoded.push(byte);
        rest = tail;
    }
    String::from_utf8(decoded).map_err(|error| {
        let at = raw_offset(raw, error.utf8_error().valid_up_to());
        Fault { rule: Rule::NotUtf8, at }
    })
}

/// Where in `raw` the decoded byte number `index` comes from.
fn raw_offset(raw: &[u8], index: usize) -> usize {
    let skip = |rest, _| decoded_first(rest).map_or(rest, |(_, tail)| tail);
    raw.len() - (0..index).fold(raw, skip).len()
}

#[derive(Debug, Clone, Copy)]
enum Class {
    Plain,
    Slash,
    Percent,
    Refused(Rule),
}

fn class(byte: u8) -> Class {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Refused(Rule::NonAscii))
}

static CLASSES: [Class; 256] = {
    let mut table = [Class::Plain; 256];
    let mut byte: u8 = 0;
    loop {
        // A constant's index is checked by the compiler.
        #[expect(clippy::indexing_slicing, reason = "a table of 256 entries has one for every byte")]
        {
            table[byte as usize] = classify(byte);
        }
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

const fn classify(byte: u8) -> Class {
    match byte {
        b'/' => Class::Slash,
        b'%' => Class::Percent,
        b'\\' => Class::Refused(Rule::Backslash),
        b';' => Class::Refused(Rule::Semicolon),
        b'#' => Class::Refused(Rule::Hash),
        b'?' => Class::Refused(Rule::Query),
        b' ' | b'<' | b'>' | b'`' => Class::Refused(Rule::Unescaped),
        0..=0x1f | 0x7f => Class::Refused(Rule::Control),
        0x80..=0xff => Class::Refused(Rule::NonAscii),
        _ => Class::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(raw: &str) -> String {
        let rejection = CanonicalPath::parse(raw).expect_err(raw);
        assert_eq!(rejection.reason, Reason::PathAmbiguous);
        rejection.detail.into_owned()
    }

    #[test]
    fn plain_paths_are_taken_as_they_are() {
        for raw in ["/", "/v1/users/42", "/x/", "/.well-known/x", "/a..b/...", "/a:b@c!$&'()*+,=~_-", "/{\"[|]\"}^"] {
            let path = CanonicalPath::parse(raw).expect(raw);
            assert!(matches!(path.0, Cow::Borrowed(same) if same == raw), "{raw}");
        }
    }

    #[test]
    fn escapes_are_decoded_once() {
        for (raw, decoded) in [
            ("/%61%2dB", "/a-B"),
            ("/caf%C3%A9", "/café"),
            ("/a%20b%23%3F", "/a b#?"),
            ("/100%25", "/100%"),
            ("/%25zz%252", "/%zz%2"),
            ("/%c2%a0", "/\u{a0}"),
            ("/%F0%9F%A6%80", "/🦀"),
        ] {
            assert_eq!(CanonicalPath::parse(raw).expect(raw).as_str(), decoded);
        }
    }

    #[test]
    fn the_detail_names_rule_and_place() {
        for (raw, rule, at) in [
            ("", Rule::NoSlash, 0),
            ("a", Rule::NoSlash, 0),
            ("//", Rule::EmptySegment, 1),
            ("/a//b", Rule::EmptySegment, 3),
            ("/.", Rule::DotSegment, 1),
            ("/a/./b", Rule::DotSegment, 3),
            ("/a/..", Rule::DotSegment, 3),
            ("/../b", Rule::DotSegment, 1),
            ("/a\\b", Rule::Backslash, 2),
            ("/a;b", Rule::Semicolon, 2),
            ("/a#", Rule::Hash, 2),
            ("/a?", Rule::Query, 2),
            ("/a\tb", Rule::Control, 2),
            ("/a\u{7f}", Rule::Control, 2),
            ("/é", Rule::NonAscii, 1),
            ("/a b", Rule::Unescaped, 2),
            ("/a<", Rule::Unescaped, 2),
            ("/%", Rule::BadEscape, 1),
            ("/%2", Rule::BadEscape, 1),
            ("/%g0", Rule::BadEscape, 1),
            ("/%+1", Rule::BadEscape, 1),
            ("/%u0041", Rule::BadEscape, 1),
            ("/a%2Fb", Rule::EncodedSlash, 2),
            ("/a%5cb", Rule::EncodedBackslash, 2),
            ("/a%2e", Rule::EncodedDot, 2),
            ("/a%3B", Rule::EncodedSemicolon, 2),
            ("/a%00", Rule::EncodedControl, 2),
            ("/a%7F", Rule::EncodedControl, 2),
            ("/a%C2%85", Rule::EncodedControl, 2),
            ("/a%252e", Rule::DoubleEncoding, 2),
            ("/a%25%32%65", Rule::DoubleEncoding, 2),
            ("/a%252%65", Rule::DoubleEncoding, 2),
            ("/a%FF", Rule::NotUtf8, 2),
            ("/%61/%C3x", Rule::NotUtf8, 5),
            ("/%C0%AE", Rule::NotUtf8, 1),
            ("/%ED%A0%80", Rule::NotUtf8, 1),
        ] {
            assert_eq!(fault(raw), format!("{rule} at byte {at} of the path"), "{raw}");
        }
    }
}
