//! The lines of a head, as they arrive (RFC 9112 sections 2.2 and 5). No line is looked at again when more arrives, however slowly
//! that is, and what is wrong with one is told as soon as it is there. Pure.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use crate::core::fields::{Lines, Place, Places, is_tchar};

/// How far a head was read, and what was found in it.
#[derive(Debug, Default)]
pub struct Scan {
    /// Where the line begins that is being read.
    line_start: usize,
    /// How much was looked at.
    seen: usize,
    has_skipped: bool,
    /// Length of the first line, without its ending.
    first_line: usize,
    fields: Places,
}

/// A line that is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    start: usize,
    /// Where its text ends, and its ending begins.
    text_end: usize,
    /// Where the next line begins.
    pub(crate) end: usize,
}

impl Line {
    /// Whether it is the first line: in a head that of the request, or of the status.
    pub(crate) fn is_first(&self) -> bool {
        self.start == 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.text_end
    }

    /// Whether it ends in a line feed alone: some readers end a line there, and some do not.
    pub(crate) fn ends_bare(&self) -> bool {
        self.end - self.text_end == 1
    }
}

impl Scan {
    /// Removes the empty line that some clients send before a request line (RFC 9112 section 2.2): one, however it arrives.
    pub fn skip_empty_line(&mut self, buffer: &mut BytesMut) {
        if !self.has_skipped && buffer.starts_with(b"\r\n") {
            buffer.advance(2);
            *self = Self { has_skipped: true, ..Self::default() };
        }
    }

    /// The next line of `buffer`, which starts with the head, once its line feed is there.
    ///
    /// # Errors
    /// What is wrong: a control character, which no line of a head may hold.
    #[inline]
    pub(crate) fn line(&mut self, buffer: &[u8]) -> Result<Option<Line>, &'static str> {
        loop {
            let rest = buffer.get(self.seen..).unwrap_or_default();
            let found = control(rest);
            self.seen += found;
            let ending = match rest.get(found..).unwrap_or_default() {
                [b'\r', b'\n', ..] => 2,
                [b'\n', ..] => 1,
                [] | [b'\r'] => return Ok(None),
                [b'\t', ..] => {
                    self.seen += 1;
                    continue;
                }
                [b'\r', ..] => return Err("a carriage return without line feed"),
                [..] => return Err("a control character"),
            };
            let text_end = self.seen;
            self.seen += ending;
            let line = Line { start: mem::replace(&mut self.line_start, self.seen), text_end, end: self.seen };
            if line.is_first() {
                self.first_line = text_end;
            }
            return Ok(Some(line));
        }
    }

    /// Takes a line apart as that of a field (RFC 9112 section 5). Its name is put in lower case, as everybody behind compares
    /// and sends it.
    ///
    /// # Errors
    /// What is wrong with it. A line that is folded (section 5.2) begins with no name.
    #[inline]
    pub(crate) fn field(&mut self, buffer: &mut [u8], line: Line) -> Result<(), &'static str> {
        let text = buffer.get_mut(line.start..line.text_end).unwrap_or_default();
        let length = lower_token(text);
        let (name, Some([b':', value @ ..])) = (text.get(..length).unwrap_or_default(), text.get(length..)) else {
            return Err("a header name is no token, or is not followed by its colon");
        };
        // Longer names have no place in a map, and would be seen by some and not by others.
        if name.is_empty() || name.len() > usize::from(u16::MAX) {
            return Err("a header without name, or with one that is too long");
        }
        let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let before = value.iter().take_while(is_space).count();
        let value = value.get(before..).unwrap_or_default();
        let after = value.iter().rev().take_while(is_space).count();
        let value_start = line.text_end - value.len();
        self.fields.push(
            name,
            Place {
                start: line.start as u32,
                name_end: (line.start + length) as u32,
                value_start: value_start as u32,
                value_end: (line.text_end - after) as u32,
                is_as_sent: !line.ends_bare()
                    && after == 0
                    && text.get(length..length + 2) == Some(b": ")
                    && before == 1,
            },
        );
        Ok(())
    }

    /// How many fields were found.
    pub(crate) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// The text of the first line of `head`.
    pub(crate) fn first_line<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        head.get(..self.first_line).unwrap_or_default()
    }

    /// The fields of `head`, all of which was read.
    pub(crate) fn finish(self, head: Bytes) -> Lines {
        self.fields.of(head)
    }
}

/// Where the first control character is (a tab is one), or the length if there is none. What is not ASCII is none.
#[inline]
fn control(bytes: &[u8]) -> usize {
    // All of a block at once: the compiler makes vector instructions of it.
    let (blocks, _) = bytes.as_chunks::<32>();
    let plain = blocks.iter().take_while(|block| !block.iter().fold(false, |any, byte| any | byte.is_ascii_control()));
    let seen = 32 * plain.count();
    seen + control_by_words(bytes.get(seen..).unwrap_or_default())
}

#[inline]
fn control_by_words(bytes: &[u8]) -> usize {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let low = word & (EACH * 0x7f);
        // Of 0x7f the first sum has the highest bit, of what is below 0x20 the second has not.
        let found = ((low + EACH) | !(low + EACH * 0x60)) & !word & (EACH * 0x80);
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + rest.iter().take_while(|byte| !byte.is_ascii_control()).count()
}

/// Puts the token that a text begins with (RFC 9110 section 5.6.2) in lower case; its length. Inlined, its loop would carry the
/// caller's sums along.
#[inline(never)]
fn lower_token(text: &mut [u8]) -> usize {
    const LOWER: [u8; 256] = lower_token_characters();
    let mut length = 0;
    for byte in text {
        let lower = LOWER.get(usize::from(*byte)).copied().unwrap_or(0);
        if lower == 0 {
            break;
        }
        *byte = lower;
        length += 1;
    }
    length
}

/// Each character of a token in lower case, and 0 for the others.
const fn lower_token_characters() -> [u8; 256] {
    let mut lower = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if is_tchar(byte) {
            #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
            {
                lower[byte as usize] = byte.to_ascii_lowercase();
            }
        }
        byte += 1;
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_found_wherever_it_is() {
        for byte in 0..=u8::MAX {
            for length in (1..20).chain(60..75) {
                for at in 0..length {
                    let mut text = vec![b'\xc3'; length];
                    text[at] = byte;
                    assert_eq!(control(&text), if byte.is_ascii_control() { at } else { length }, "{byte:#x} {at}");
                }
            }
        }
    }

    #[test]
    fn a_token_is_what_the_http_crate_takes_for_a_name() {
        for byte in 0..=u8::MAX {
            let mut text = [b'A', byte, b'Z'];
            let length = lower_token(&mut text);
            let is_token = http::HeaderName::from_bytes(&[byte]).is_ok();
            assert_eq!(length, if is_token { 3 } else { 1 }, "{byte:#x}");
            assert_eq!(text[1], if is_token { byte.to_ascii_lowercase() } else { byte });
        }
    }
}
