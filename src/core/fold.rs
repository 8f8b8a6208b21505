//! How a careless backend reads a path: some ignore case, some a trailing slash, some both.
//!
//! Folding is Unicode simple case folding (`CaseFolding.txt`, status C and S), one character to one character, for
//! patterns at load and for paths at every request that could mean something else folded.

/// Longest literal segment of a pattern in bytes, folded or not. A longer one of a path needs no folding: it is none of
/// the literals.
pub(super) const LITERAL_BYTES_MAX: usize = 255;

/// Room for one folded segment, so that a request needs no allocation.
pub(super) type Buffer = [u8; LITERAL_BYTES_MAX];

/// Folds the case of a literal of a pattern.
pub(super) fn fold(literal: &str) -> String {
    literal.chars().map(fold_char).collect()
}

/// Folds the case of a path's segment into `buffer`. `None` if it does not fit, and so equals no literal.
pub(super) fn fold_into<'b>(segment: &str, buffer: &'b mut Buffer) -> Option<&'b [u8]> {
    let mut length = 0;
    for char in segment.chars().map(fold_char) {
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
/// on the safe side: it takes any character outside ASCII for one that could fold.
pub(super) fn is_folded(path: &str) -> bool {
    // No early exit: this way the compiler looks at many bytes at a time.
    let could_fold = path.bytes().fold(false, |seen, byte| seen | byte.is_ascii_uppercase() | !byte.is_ascii());
    !could_fold && without_slash(path).len() == path.len()
}

fn fold_char(char: char) -> char {
    if char.is_ascii() {
        return char.to_ascii_lowercase();
    }
    unicode_case_mapping::case_folded(char).and_then(|folded| char::from_u32(folded.get())).unwrap_or(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_is_unicode_simple_case_folding() {
        for (text, folded) in [
            ("Admin-1", "admin-1"),
            ("ÉCOLE", "école"),
            ("\u{212a}elvin", "kelvin"),
            ("acce\u{17f}s", "access"),
            ("\u{1e9e}", "ß"),
            ("ß", "ß"),
            ("ΣΑΣς", "σασσ"),
            ("\u{23a}", "\u{2c65}"),
            // Only Turkic (T) and full (F) folding know these two.
            ("\u{130}\u{131}", "\u{130}\u{131}"),
        ] {
            assert_eq!(fold(text), folded);
            assert_eq!(fold_into(text, &mut [0; LITERAL_BYTES_MAX]), Some(folded.as_bytes()));
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
