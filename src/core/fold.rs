//! How a careless backend reads a path: some ignore case, some a trailing slash, some both.
//!
//! Backends compare in lower case, in upper case, or by Unicode's simple case folding, and do not agree beyond ASCII: in upper case
//! `ı` is `I`, and `ﬁ` is `FI`. What is one to any of them is one here: everything is put in lower case, then in upper case, then in
//! lower case again, each in full (Unicode's `SpecialCasing.txt`). It is done to patterns at load, and to paths at every request
//! that could mean something else folded.

/// Longest literal segment of a pattern in bytes, folded or not. A longer one of a path needs no folding: it is none of
/// the literals.
pub(super) const LITERAL_BYTES_MAX: usize = 255;

/// Room for one folded segment, so that a request needs no allocation.
pub(super) type Buffer = [u8; LITERAL_BYTES_MAX];

/// Folds the case of a literal of a pattern.
pub(super) fn fold(literal: &str) -> String {
    literal.chars().flat_map(fold_char).collect()
}

/// Folds the case of a path's segment into `buffer`. `None` if it does not fit, and so equals no literal.
pub(super) fn fold_into<'b>(segment: &str, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
    let mut length = 0;
    for char in segment.chars().flat_map(fold_char) {
        let room = buffer.get_mut(length..length + char.len_utf8())?;
        length += char.encode_utf8(room).len();
    }
    buffer.get(..length)
}

/// Drops one trailing slash. The root keeps its only one.
pub(super) fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(path)
}

/// Whether a careless backend cannot read this path as another: nothing is in upper case and no slash trails. Quick and
/// on the safe side, as is [`could_fold`].
pub(super) fn is_folded(path: &str) -> bool {
    !could_fold(path) && without_slash(path).len() == path.len()
}

/// Whether there is anything that folding the case could change. Takes any character outside ASCII for one.
pub(super) fn could_fold(text: &str) -> bool {
    // No early exit: this way the compiler looks at many bytes at a time.
    text.bytes().fold(false, |seen, byte| seen | byte.is_ascii_uppercase() | !byte.is_ascii())
}

fn fold_char(char: char) -> impl Iterator<Item = char> {
    // Nearly all are of ASCII, and need no tables.
    let (plain, other) = match char.is_ascii() {
        true => (Some(char.to_ascii_lowercase()), None),
        false => (None, Some(fold_in_full(char))),
    };
    plain.into_iter().chain(other.into_iter().flatten())
}

fn fold_in_full(char: char) -> impl Iterator<Item = char> {
    // In full its lower case has a dot of its own. Java, for one, leaves that out.
    const I_WITH_DOT: char = '\u{130}';
    let char = if char == I_WITH_DOT { 'i' } else { char };
    char.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_some_backend_takes_for_one_is_folded_to_one() {
        for (text, folded) in [
            ("Admin-1", "admin-1"),
            ("ÉCOLE", "école"),
            ("\u{212a}elvin", "kelvin"),
            ("acce\u{17f}s", "access"),
            ("\u{1e9e}", "ss"),
            ("ß", "ss"),
            ("ΣΑΣς", "σασσ"),
            ("\u{23a}", "\u{2c65}"),
            ("\u{130}\u{131}", "ii"),
            ("\u{fb01}les", "files"),
        ] {
            assert_eq!(fold(text), folded);
            assert_eq!(fold_into(text, &mut [0; LITERAL_BYTES_MAX]), Some(folded.as_bytes()));
        }
    }

    #[test]
    fn every_way_to_ignore_case_is_covered() {
        let folded = |text: String| fold(&text);
        for char in '\0'..=char::MAX {
            let expected = fold(char.encode_utf8(&mut [0; 4]));
            let simple = unicode_case_mapping::case_folded(char).and_then(|folded| char::from_u32(folded.get()));
            assert_eq!(folded(simple.unwrap_or(char).into()), expected, "simple folding of {char:?}");
            assert_eq!(folded(char.to_uppercase().collect()), expected, "upper case of {char:?}");
            assert!(char == '\u{130}' || folded(char.to_lowercase().collect()) == expected, "lower case of {char:?}");
            assert_eq!(fold(&expected), expected, "{char:?} folded twice");
        }
    }

    #[test]
    fn what_outgrows_every_literal_is_given_up() {
        let mut buffer = [0; LITERAL_BYTES_MAX];
        assert!(fold_into(&"A".repeat(LITERAL_BYTES_MAX), &mut buffer).is_some());
        assert!(fold_into(&"A".repeat(LITERAL_BYTES_MAX + 1), &mut buffer).is_none());
        assert!(fold_into(&"\u{23a}".repeat(LITERAL_BYTES_MAX / 2), &mut buffer).is_none());
    }

    #[test]
    fn one_trailing_slash_is_dropped_but_not_the_root() {
        for (path, rest) in [("/", "/"), ("/x/", "/x"), ("/x", "/x")] {
            assert_eq!(without_slash(path), rest);
        }
    }

    #[test]
    fn only_paths_that_cannot_change_are_folded() {
        for (path, folded) in [("/", true), ("/v1/x-1", true), ("/x/", false), ("/X", false), ("/é", false)] {
            assert_eq!(is_folded(path), folded, "{path}");
            assert!(!folded || fold(without_slash(path)) == path);
        }
    }
}
