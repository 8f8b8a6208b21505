//! The text of a configuration, and places in it.

use std::ops::Range;

/// Longest configuration in bytes. Ten thousand routes take about a tenth of it.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// The name and text of a configuration file.
pub(super) struct Source<'s> {
    /// As the operator named it.
    pub(super) name: &'s str,
    /// What it says.
    pub(super) text: &'s str,
    line_starts: Vec<usize>,
}

/// A stretch of the text, and the node of the tree that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// Offset of the first byte.
    pub(super) start: usize,
    /// Offset behind the last byte.
    pub(super) end: usize,
    /// Number of the node, in the order of the file.
    pub(super) node: u32,
}

/// A place as people say it. Both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl<'s> Source<'s> {
    pub(super) fn new(name: &'s str, text: &'s str) -> Self {
        let breaks = memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1);
        Self { name, text, line_starts: std::iter::once(0).chain(breaks).collect() }
    }

    /// Line and column of an offset.
    pub(super) fn position(&self, offset: usize) -> Position {
        let (line, range) = self.line_of(offset);
        let before = self.text.get(range.start..offset.min(range.end)).unwrap_or_default();
        Position { line, column: before.chars().count() + 1 }
    }

    /// The line that an offset is on: its number and its bytes, without the line break.
    pub(super) fn line_of(&self, offset: usize) -> (usize, Range<usize>) {
        let line = self.line_starts.partition_point(|start| *start <= offset).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let end = self.line_starts.get(line).map_or(self.text.len(), |next| next - 1);
        (line, start..end.max(start))
    }

    /// What is written at a place.
    pub(super) fn written(&self, place: Place) -> &'s str {
        self.text.get(place.start..place.end).unwrap_or_default()
    }

    /// The place of a part of a scalar's value, where the value stands in the file as it is: unquoted, or in quotes
    /// without escapes. Otherwise the place of the whole.
    pub(super) fn part(&self, place: Place, value: &str, part: Range<usize>) -> Place {
        let written = self.written(place);
        let inside = written.get(1..written.len().saturating_sub(1));
        let shift = match value {
            _ if written == value => 0,
            _ if inside == Some(value) => 1,
            _ => return place,
        };
        let start = place.start + shift + part.start.min(value.len());
        let end = (place.start + shift + part.end.min(value.len())).max(start);
        Place { start, end, ..place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("x", "a: 1\nü: é!\n");
        let at = |offset| source.position(offset);
        assert_eq!(at(0), Position { line: 1, column: 1 });
        assert_eq!(at(3), Position { line: 1, column: 4 });
        assert_eq!(at("a: 1\nü: é".len()), Position { line: 2, column: 5 });
        assert_eq!(at(source.text.len()), Position { line: 3, column: 1 });
    }

    #[test]
    fn a_part_of_a_scalar_is_found_behind_its_quote() {
        let source = Source::new("x", "\"abc\"");
        let place = Place { start: 0, end: 5, node: 0 };
        assert_eq!(source.written(source.part(place, "abc", 1..2)), "b");
        assert_eq!(source.part(place, "something else", 1..2), place);
    }
}
