//! How text that a client sent is shown to an operator: in the details of rejections, and so in logs and terminals.

use std::fmt;

/// Most characters of a foreign text that are shown.
const CHARACTERS_MAX: usize = 80;

/// A foreign text in quotes: cut to a bounded length, with everything escaped that could forge a log line or steer a
/// terminal.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(CHARACTERS_MAX).map(|(index, _)| index);
        let shown = end.and_then(|end| self.0.get(..end)).unwrap_or(self.0);
        let ellipsis = if end.is_some() { "…" } else { "" };
        write!(f, "\"{}{ellipsis}\"", shown.escape_debug())
    }
}

/// Several foreign texts in quotes, the first few of them.
pub(super) struct QuotedList<'a, T>(pub(super) &'a [T]);

impl<T: AsRef<str>> fmt::Display for QuotedList<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const ITEMS_MAX: usize = 4;
        for (index, item) in self.0.iter().take(ITEMS_MAX).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", Quoted(item.as_ref()))?;
        }
        match self.0.len().saturating_sub(ITEMS_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_foreign_forges_a_line_or_grows_without_bound() {
        assert_eq!(Quoted("a\"b\n\u{1b}[2J\u{202e}").to_string(), r#""a\"b\n\u{1b}[2J\u{202e}""#);
        assert_eq!(Quoted(&"é".repeat(81)).to_string(), format!("\"{}…\"", "é".repeat(80)));
        assert_eq!(Quoted(&"é".repeat(80)).to_string(), format!("\"{}\"", "é".repeat(80)));
    }

    #[test]
    fn a_long_list_is_counted_instead_of_shown() {
        assert_eq!(QuotedList::<&str>(&[]).to_string(), "");
        assert_eq!(QuotedList(&["a", "b"]).to_string(), r#""a", "b""#);
        assert_eq!(QuotedList(&["x"; 6]).to_string(), r#""x", "x", "x", "x" and 2 more"#);
    }
}
