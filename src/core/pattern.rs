//! Path patterns: `/v1/users/{id}`, `/v1/files/{*path}`.
//!
//! A pattern is compared with the percent-decoded path, so it is written decoded, and one that no
//! [`CanonicalPath`](super::path::CanonicalPath) could ever match is an error that says what was probably meant.

use std::borrow::Cow;
use std::fmt;

use super::fold::{self, LITERAL_BYTES_MAX};

/// Most segments of a pattern. It bounds how deep a look-up can go.
const SEGMENTS_MAX: usize = 128;

/// A checked path pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What stands between two slashes of a pattern. The pattern `/x/` ends in an empty literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Exactly this text.
    Literal(Box<str>),
    /// `{name}`: one segment that is not empty.
    Parameter(Box<str>),
    /// `{*name}`: the rest of the path, at least one character.
    Rest(Box<str>),
}

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PatternError {
    /// Byte offset of what is wrong.
    pub at: usize,
    message: Cow<'static, str>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// Says what is wrong, where, and what would be right.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or_else(|| error(0, "a pattern starts with '/'"))?;
        let mut segments: Vec<Segment> = Vec::new();
        let mut at = 1;
        for piece in rest.split('/') {
            if let Some(Segment::Rest(name)) = segments.last() {
                return Err(error(at - 1, format!("nothing can follow {{*{name}}}: it is the rest of the path")));
            }
            if segments.len() == SEGMENTS_MAX {
                return Err(error(at, format!("a pattern has at most {SEGMENTS_MAX} segments")));
            }
            let is_last = at + piece.len() == text.len();
            let segment = Segment::parse(piece, is_last)
                .map_err(|PatternError { at: within, message }| PatternError { at: at + within, message })?;
            if let Some(name) = segment.name().filter(|name| segments.iter().any(|other| other.name() == Some(name))) {
                return Err(error(at, format!("the name {name:?} is there twice")));
            }
            segments.push(segment);
            at += piece.len() + 1;
        }
        Ok(Self { text: text.into(), segments: segments.into() })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether the pattern is that of a path with a trailing slash.
    pub(super) fn has_trailing_slash(&self) -> bool {
        matches!(&*self.segments, [_, .., Segment::Literal(last)] if last.is_empty())
    }

    /// The pattern as a backend reads it that ignores case and a trailing slash.
    pub(super) fn folded(&self) -> Vec<Segment> {
        let kept = self.segments.len() - usize::from(self.has_trailing_slash());
        self.segments.iter().take(kept).map(Segment::folded).collect()
    }

    /// Whether such a backend reads the pattern as another one.
    pub(super) fn changes_folded(&self) -> bool {
        *self.folded() != *self.segments
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(piece: &str, is_last: bool) -> Result<Self, PatternError> {
        if let Some(inner) = piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return match inner.strip_prefix('*') {
                Some(name) => parse_name(name, 2).map(Self::Rest),
                None => parse_name(inner, 1).map(Self::Parameter),
            };
        }
        if piece.is_empty() && !is_last {
            return Err(error(0, "empty segment: no request with '//' in its path is let in"));
        }
        check_literal(piece)?;
        Ok(Self::Literal(piece.into()))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::Parameter(name) | Self::Rest(name) => Some(name),
        }
    }

    fn folded(&self) -> Self {
        match self {
            Self::Literal(text) => Self::Literal(fold::fold(text).into()),
            other => other.clone(),
        }
    }
}

fn parse_name(name: &str, at: usize) -> Result<Box<str>, PatternError> {
    if name.is_empty() {
        return Err(error(at, "a name is missing between the braces"));
    }
    match name.find(|char: char| !char.is_alphanumeric() && !matches!(char, '_' | '-' | '.')) {
        Some(odd) => Err(error(at + odd, "a name is letters, digits, '_', '-' and '.'")),
        None => Ok(name.into()),
    }
}

/// Finds what no canonical path could contain, and what looks like the wildcard of another gateway.
fn check_literal(literal: &str) -> Result<(), PatternError> {
    match literal {
        "." | ".." => return Err(error(0, "dot segment: no request with one in its path is let in")),
        "*" | "**" => return Err(error(0, "write {name} for one segment, {*name} for the rest of the path")),
        _ => {}
    }
    for (at, char) in literal.char_indices() {
        if let Some(message) = refusal(char, literal.get(at + 1..).unwrap_or_default()) {
            return Err(error(at, message));
        }
    }
    if literal.len().max(fold::fold(literal).len()) > LITERAL_BYTES_MAX {
        return Err(error(0, format!("a segment has at most {LITERAL_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn refusal(char: char, tail: &str) -> Option<&'static str> {
    match char {
        '{' | '}' => Some("{name} has to be a whole segment"),
        '?' => Some("a pattern is a path: the query is not looked at"),
        '#' => Some("a pattern is a path: no request has a fragment"),
        ';' => Some("no request with ';' in its path is let in"),
        '\\' => Some("no request with '\\' in its path is let in"),
        '%' if tail.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2 => {
            Some("a pattern is written without percent escapes: write the character itself")
        }
        _ if char.is_control() => Some("no request with a control character in its path is let in"),
        _ => None,
    }
}

fn error(at: usize, message: impl Into<Cow<'static, str>>) -> PatternError {
    PatternError { at, message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> Vec<String> {
        let show = |segment: &Segment| match segment {
            Segment::Literal(text) => format!("={text}"),
            Segment::Parameter(name) => format!("1{name}"),
            Segment::Rest(name) => format!("*{name}"),
        };
        Pattern::parse(text).expect(text).segments().iter().map(show).collect()
    }

    #[test]
    fn patterns_are_segments() {
        assert_eq!(shape("/"), ["="]);
        assert_eq!(shape("/v1/users/{id}"), ["=v1", "=users", "1id"]);
        assert_eq!(shape("/v1/{a.b-c_d}/x/"), ["=v1", "1a.b-c_d", "=x", "="]);
        assert_eq!(shape("/{*path}"), ["*path"]);
        assert_eq!(shape("/é/a b/100%/%zz/...:@"), ["=é", "=a b", "=100%", "=%zz", "=...:@"]);
    }

    #[test]
    fn folded_they_lose_case_and_trailing_slash() {
        let folded = |text| Pattern::parse(text).expect(text).folded();
        assert_eq!(folded("/V1/{Id}/É/"), folded("/v1/{Id}/é"));
        assert_eq!(folded("/{Id}/"), [Segment::Parameter("Id".into())]);
        assert_eq!(folded("/"), [Segment::Literal("".into())]);
    }

    #[test]
    fn mistakes_are_named_where_they_are() {
        let deep = "/a".repeat(SEGMENTS_MAX + 1);
        let long = format!("/{}", "a".repeat(LITERAL_BYTES_MAX + 1));
        let long_once_folded = format!("/{}", "\u{23a}".repeat(LITERAL_BYTES_MAX / 2));
        for (text, at, message) in [
            ("", 0, "a pattern starts with '/'"),
            ("v1", 0, "a pattern starts with '/'"),
            ("//", 1, "empty segment: no request with '//' in its path is let in"),
            ("/a//b", 3, "empty segment: no request with '//' in its path is let in"),
            ("/a/./b", 3, "dot segment: no request with one in its path is let in"),
            ("/a/..", 3, "dot segment: no request with one in its path is let in"),
            ("/a/*", 3, "write {name} for one segment, {*name} for the rest of the path"),
            ("/a/**", 3, "write {name} for one segment, {*name} for the rest of the path"),
            ("/a/{id}.json", 3, "{name} has to be a whole segment"),
            ("/a/x{id}", 4, "{name} has to be a whole segment"),
            ("/a/{id", 3, "{name} has to be a whole segment"),
            ("/a/id}", 5, "{name} has to be a whole segment"),
            ("/{}", 2, "a name is missing between the braces"),
            ("/{*}", 3, "a name is missing between the braces"),
            ("/{a*}", 3, "a name is letters, digits, '_', '-' and '.'"),
            ("/{**a}", 3, "a name is letters, digits, '_', '-' and '.'"),
            ("/{a}{b}", 3, "a name is letters, digits, '_', '-' and '.'"),
            ("/{a}/{a}", 5, "the name \"a\" is there twice"),
            ("/{a}/{*a}", 5, "the name \"a\" is there twice"),
            ("/{*a}/b", 5, "nothing can follow {*a}: it is the rest of the path"),
            ("/{*a}/", 5, "nothing can follow {*a}: it is the rest of the path"),
            ("/a?b", 2, "a pattern is a path: the query is not looked at"),
            ("/a#", 2, "a pattern is a path: no request has a fragment"),
            ("/a;b", 2, "no request with ';' in its path is let in"),
            ("/a\\b", 2, "no request with '\\' in its path is let in"),
            ("/é%20", 3, "a pattern is written without percent escapes: write the character itself"),
            ("/a\u{85}", 2, "no request with a control character in its path is let in"),
            ("/\u{7f}", 1, "no request with a control character in its path is let in"),
            (&deep, 257, "a pattern has at most 128 segments"),
            (&long, 1, "a segment has at most 255 bytes"),
            (&long_once_folded, 1, "a segment has at most 255 bytes"),
        ] {
            let error = Pattern::parse(text).expect_err(text);
            assert_eq!((error.at, error.to_string().as_str()), (at, message), "{text}");
        }
    }
}
