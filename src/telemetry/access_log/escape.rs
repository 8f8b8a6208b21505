//! Foreign text in a log line: bounded, and with nothing in it that could end the line, the string, or speak to a
//! terminal.

/// Writes `text` as a JSON string of at most `bytes_max` bytes of it; what is cut off shows as `…`.
pub(super) fn json_string(line: &mut Vec<u8>, text: &[u8], bytes_max: usize) {
    line.push(b'"');
    let (text, cut) = bounded(text, bytes_max);
    match std::str::from_utf8(text) {
        Ok(text) => escape(line, text),
        Err(_) => escape(line, &String::from_utf8_lossy(text)),
    }
    if cut {
        line.extend_from_slice("…".as_bytes());
    }
    line.push(b'"');
}

/// Writes `text` as it is where it is one plain word, else as a JSON string.
pub(super) fn word(line: &mut Vec<u8>, text: &[u8], bytes_max: usize) {
    let plain = |byte: &u8| matches!(byte, b'!'..=b'~') && !matches!(byte, b'"' | b'\\' | b'=');
    if !text.is_empty() && text.len() <= bytes_max && text.iter().all(plain) {
        line.extend_from_slice(text);
    } else {
        json_string(line, text, bytes_max);
    }
}

fn bounded(text: &[u8], bytes_max: usize) -> (&[u8], bool) {
    let Some(head) = text.get(..bytes_max) else { return (text, false) };
    if head.len() == text.len() {
        return (text, false);
    }
    // Not in the middle of a character: one has at most four bytes, all but the first of them 10xxxxxx.
    let is_continuation = |at: usize| text.get(at).is_some_and(|byte| byte & 0xC0 == 0x80);
    let end = (bytes_max.saturating_sub(3)..=bytes_max).rev().find(|at| !is_continuation(*at));
    (text.get(..end.unwrap_or(bytes_max)).unwrap_or(head), true)
}

fn escape(line: &mut Vec<u8>, text: &str) {
    let mut plain_from = 0;
    for (at, char) in text.char_indices().filter(|(_, char)| needs_escape(*char)) {
        line.extend_from_slice(text.get(plain_from..at).unwrap_or_default().as_bytes());
        plain_from = at + char.len_utf8();
        escape_char(line, char);
    }
    line.extend_from_slice(text.get(plain_from..).unwrap_or_default().as_bytes());
}

/// JSON wants the first three. DEL and U+0080–U+009F are controls to terminals, and U+2028 and U+2029 are line ends to
/// some readers.
fn needs_escape(char: char) -> bool {
    matches!(char, '"' | '\\' | '\0'..='\x1F' | '\x7F'..='\u{9F}' | '\u{2028}' | '\u{2029}')
}

fn escape_char(line: &mut Vec<u8>, char: char) {
    if matches!(char, '"' | '\\') {
        line.extend([b'\\', char as u8]);
        return;
    }
    let code = u32::from(char);
    line.extend_from_slice(b"\\u");
    for shift in [12, 8, 4, 0] {
        let digit = char::from_digit((code >> shift) & 0xF, 16).unwrap_or('0');
        line.push(digit as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &[u8], bytes_max: usize) -> String {
        let mut line = Vec::new();
        json_string(&mut line, text, bytes_max);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn what_could_be_misread_is_escaped() {
        assert_eq!(json(b"/a\"b\\c\n\x1b[31m\x7f", 99), r#""/a\"b\\c\u000a\u001b[31m\u007f""#);
        assert_eq!(json("ü\u{85}\u{2028}".as_bytes(), 99), "\"ü\\u0085\\u2028\"");
        assert_eq!(json(b"\xFF", 99), "\"\u{FFFD}\"");
    }

    #[test]
    fn what_is_too_long_is_cut_at_a_character() {
        assert_eq!(json(b"abcd", 3), "\"abc…\"");
        assert_eq!(json(b"abc", 3), "\"abc\"");
        assert_eq!(json("aüü".as_bytes(), 4), "\"aü…\"");
        assert_eq!(json("aüü".as_bytes(), 3), "\"aü…\"");
    }

    #[test]
    fn only_plain_words_go_without_quotes() {
        let mut line = Vec::new();
        for text in ["abc", "a b", "a=b", ""] {
            word(&mut line, text.as_bytes(), 99);
            line.push(b' ');
        }
        assert_eq!(String::from_utf8(line).unwrap(), r#"abc "a b" "a=b" "" "#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_itself(text in any::<String>()) {
            prop_assert_eq!(serde_json::from_str::<String>(&json(text.as_bytes(), usize::MAX)).unwrap(), text);
        }

        #[test]
        fn any_bytes_are_one_json_string_on_one_line(
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            bytes_max in 0..64usize,
        ) {
            let written = json(&bytes, bytes_max);
            prop_assert!(serde_json::from_str::<String>(&written).is_ok());
            prop_assert!(!written.chars().any(char::is_control));
        }
    }
}
