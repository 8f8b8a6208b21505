//! Header fields, wherever they stand: in a map, as HTTP/2 and the other fronts make it, or in the bytes of a head of
//! HTTP/1.1. A decision needs five of them, and a map of all is more work than the whole of it.

use std::fmt;
use std::slice;

use bytes::Bytes;
use http::header::ValueIter;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The field that carries the id of a request, in both directions.
pub static X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Whom a request has passed through (de facto; RFC 7239 has it as `Forwarded`).
pub static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Header fields to be looked at.
#[derive(Clone, Copy)]
pub struct Fields<'a>(Kind<'a>);

#[derive(Clone, Copy)]
enum Kind<'a> {
    Map(&'a HeaderMap),
    Lines(&'a Lines),
}

/// How often a field is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurs<'a> {
    /// It is not.
    Never,
    /// Once, with this value.
    Once(&'a [u8]),
    /// More than once.
    Again,
}

/// A field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Its name, in lower case.
    pub name: &'a [u8],
    /// Its value.
    pub value: &'a [u8],
    /// Its line as it is sent, if it came so.
    line: Option<&'a [u8]>,
}

/// The fields of one head of HTTP/1.1, in the bytes that they came in and in their order. Names are in lower case.
#[derive(Clone)]
pub struct Lines {
    head: Bytes,
    places: Places,
}

/// Where the fields of a head stand.
#[derive(Debug, Clone, Default)]
pub struct Places {
    lines: Vec<(Tag, Place)>,
    /// A bit for each [`Tag`] of a name: most names that are looked for are not there, and are not looked for any further.
    tags: u64,
}

/// What tells most names apart: one of 64, by length and first letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag(u8);

/// Where a field stands. A head is far below 4 GiB.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Where its line and its name begin.
    pub start: u32,
    /// Where its name ends.
    pub name_end: u32,
    /// Where its value begins, without the white space before it.
    pub value_start: u32,
    /// Where its value ends, without the white space behind it.
    pub value_end: u32,
    /// Whether the line is written as it is sent on: a colon and a space between name and value, CRLF behind them, and no white
    /// space before that.
    pub is_as_sent: bool,
}

/// Fields that a head has room for without asking for more.
const USUAL_FIELDS: usize = 12;

impl<'a> From<&'a HeaderMap> for Fields<'a> {
    fn from(map: &'a HeaderMap) -> Self {
        Self(Kind::Map(map))
    }
}

impl<'a> From<&'a Lines> for Fields<'a> {
    fn from(lines: &'a Lines) -> Self {
        Self(Kind::Lines(lines))
    }
}

impl<'a> Fields<'a> {
    /// The values of this name, in their order.
    #[inline]
    pub fn all(self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        match self.0 {
            Kind::Map(map) => Values::Map(map.get_all(name).iter()),
            Kind::Lines(lines) => {
                let name = name.as_str().as_bytes();
                let tag = Tag::of(name);
                Values::Lines { head: &lines.head, rest: lines.tagged(tag).iter(), tag, name }
            }
        }
    }

    /// How often this name is there.
    #[inline]
    #[must_use]
    pub fn occurs(self, name: &HeaderName) -> Occurs<'a> {
        match self.0 {
            Kind::Lines(lines) if lines.tagged(Tag::of(name.as_str().as_bytes())).is_empty() => Occurs::Never,
            Kind::Lines(_) | Kind::Map(_) => self.counted(name),
        }
    }

    fn counted(self, name: &HeaderName) -> Occurs<'a> {
        let mut occurs = Occurs::Never;
        for value in self.all(name) {
            match occurs {
                Occurs::Never => occurs = Occurs::Once(value),
                Occurs::Once(_) | Occurs::Again => return Occurs::Again,
            }
        }
        occurs
    }

    /// Whether this name is there.
    #[inline]
    #[must_use]
    pub fn contains(self, name: &HeaderName) -> bool {
        self.all(name).next().is_some()
    }

    /// Does `each` to all of them, in their order.
    #[inline]
    pub fn for_each(self, mut each: impl FnMut(Field<'a>)) {
        match self.0 {
            Kind::Map(map) => map.iter().for_each(|field| each(field.into())),
            Kind::Lines(lines) => lines.iter().for_each(each),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Kind::Map(map) => map.len(),
            Kind::Lines(lines) => lines.places.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<(&'a HeaderName, &'a HeaderValue)> for Field<'a> {
    fn from((name, value): (&'a HeaderName, &'a HeaderValue)) -> Self {
        Self::new(name.as_str().as_bytes(), value.as_bytes())
    }
}

impl<'a> Field<'a> {
    /// A field that stands nowhere yet.
    #[must_use]
    pub fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value, line: None }
    }

    /// Writes it as it is sent in HTTP/1.1.
    #[inline]
    pub fn write_to(self, out: &mut Vec<u8>) {
        if let Some(line) = self.line {
            return out.extend_from_slice(line);
        }
        out.reserve(self.name.len() + self.value.len() + 4);
        out.extend_from_slice(self.name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.value);
        out.extend_from_slice(b"\r\n");
    }
}

enum Values<'a, 'n> {
    Map(ValueIter<'a, HeaderValue>),
    Lines { head: &'a [u8], rest: slice::Iter<'a, (Tag, Place)>, tag: Tag, name: &'n [u8] },
}

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Map(values) => values.next().map(HeaderValue::as_bytes),
            Self::Lines { head, rest, tag, name } => loop {
                let (is, place) = rest.next()?;
                if is == tag && place.name(head) == *name {
                    return Some(place.value(head));
                }
            },
        }
    }
}

impl Place {
    fn name<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        part(head, self.start, self.name_end)
    }

    fn value<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        part(head, self.value_start, self.value_end)
    }

    /// The whole line, with its ending, if it can be sent on.
    fn as_sent<'a>(&self, head: &'a [u8]) -> Option<&'a [u8]> {
        self.is_as_sent.then(|| part(head, self.start, self.value_end + 2))
    }

    fn field<'a>(&self, head: &'a [u8]) -> Field<'a> {
        Field { name: self.name(head), value: self.value(head), line: self.as_sent(head) }
    }
}

impl Places {
    /// Adds a field of this name, which has to be in lower case.
    #[inline]
    pub fn push(&mut self, name: &[u8], place: Place) {
        if self.lines.capacity() == 0 {
            self.lines.reserve_exact(USUAL_FIELDS);
        }
        let tag = Tag::of(name);
        self.tags |= tag.bit();
        self.lines.push((tag, place));
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The fields of the head that they stand in.
    #[must_use]
    pub fn of(self, head: Bytes) -> Lines {
        Lines { head, places: self }
    }
}

impl Lines {
    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.places.lines.iter().map(|(_, place)| place.field(&self.head))
    }

    /// Length of the head that they stand in.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head.len()
    }

    /// Writes those that `keep` wants as they are sent in HTTP/1.1. Lines that stand together are copied together.
    pub fn write_to(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&[u8], &[u8]) -> bool) {
        let mut run = 0..0;
        for (_, place) in &self.places.lines {
            let field = place.field(&self.head);
            if !keep(field.name, field.value) {
                continue;
            }
            if field.line.is_none() || run.end != place.start {
                out.extend_from_slice(part(&self.head, run.start, run.end));
                run = place.start..place.start;
            }
            match field.line {
                Some(_) => run.end = place.value_end + 2,
                None => field.write_to(out),
            }
        }
        out.extend_from_slice(part(&self.head, run.start, run.end));
    }

    /// Leaves out what `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&[u8], &[u8]) -> bool) {
        let head = &self.head;
        self.places.lines.retain(|(_, place)| keep(place.name(head), place.value(head)));
    }

    /// The lines among which those of this tag are: none if there is none.
    #[inline]
    fn tagged(&self, tag: Tag) -> &[(Tag, Place)] {
        if self.places.tags & tag.bit() == 0 { &[] } else { &self.places.lines }
    }

    /// Adds these fields to a map. Their values share the head's bytes. What is no field for the map is left out; there is
    /// none in a head that was parsed.
    pub fn append_to(&self, map: &mut HeaderMap) {
        map.reserve(self.places.len());
        for (_, place) in &self.places.lines {
            let value = HeaderValue::from_maybe_shared(self.head.slice_ref(place.value(&self.head)));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(place.name(&self.head)), value) {
                let _ = map.try_append(name, value);
            }
        }
    }
}

impl Tag {
    #[inline]
    fn of(name: &[u8]) -> Self {
        let first = name.first().copied().unwrap_or_default();
        Self((name.len() as u8).wrapping_mul(5).wrapping_add(first) & 63)
    }

    fn bit(self) -> u64 {
        1 << self.0
    }
}

/// Whether a token can have this character: `tchar` of RFC 9110 section 5.6.2.
#[must_use]
pub const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

fn part(bytes: &[u8], start: u32, end: u32) -> &[u8] {
    bytes.get(start as usize..end as usize).unwrap_or_default()
}

/// Names only: a value may be the token.
impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|field| String::from_utf8_lossy(field.name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of a text that is well formed.
    fn lines_of(head: &Bytes) -> Lines {
        let (mut places, mut start) = (Places::default(), 0);
        for line in head.split_inclusive(|byte| *byte == b'\n') {
            let colon = line.iter().position(|byte| *byte == b':').unwrap();
            let is_as_sent = line.get(colon + 1) == Some(&b' ');
            let value_start = (start + colon + 1 + usize::from(is_as_sent)) as u32;
            let value_end = (start + line.len() - 2) as u32;
            let line_start = start as u32;
            let place =
                Place { start: line_start, name_end: (start + colon) as u32, value_start, value_end, is_as_sent };
            places.push(&line[..colon], place);
            start += line.len();
        }
        places.of(head.clone())
    }

    #[test]
    fn fields_are_the_same_wherever_they_stand() {
        let head = Bytes::from_static(b"host: h\r\nx-a: 1\r\nx-a:2\r\nx-empty:\r\n");
        let lines = lines_of(&head);
        let mut map = HeaderMap::new();
        lines.append_to(&mut map);
        for fields in [Fields::from(&lines), Fields::from(&map)] {
            let x_a = HeaderName::from_static("x-a");
            assert_eq!(fields.all(&x_a).collect::<Vec<_>>(), [b"1", b"2"]);
            assert_eq!(fields.occurs(&x_a), Occurs::Again);
            assert_eq!(fields.occurs(&http::header::HOST), Occurs::Once(b"h"));
            assert_eq!(fields.occurs(&HeaderName::from_static("x-empty")), Occurs::Once(b""));
            assert_eq!(fields.occurs(&http::header::TE), Occurs::Never);
            let mut seen = 0;
            fields.for_each(|_| seen += 1);
            assert_eq!((fields.len(), seen), (4, 4));
        }
        let mut lines = lines;
        lines.retain(|name, value| name != b"x-a" || value == b"2");
        assert_eq!(Fields::from(&lines).all(&HeaderName::from_static("x-a")).collect::<Vec<_>>(), [b"2"]);
        assert_eq!(lines.iter().count(), 3);
    }

    #[test]
    fn what_is_left_is_written_in_its_order() {
        let head = Bytes::from_static(b"a: 1\r\nb: 2\r\nc:3\r\nd: 4\r\ne: 5\r\nf: 6\r\n");
        let written = |lines: &Lines, without: &[u8]| {
            let mut out = b"> ".to_vec();
            lines.write_to(&mut out, |name, _| name != without);
            String::from_utf8(out).unwrap()
        };
        let mut lines = lines_of(&head);
        assert_eq!(written(&lines, b""), "> a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\n");
        assert_eq!(written(&lines, b"e"), "> a: 1\r\nb: 2\r\nc: 3\r\nd: 4\r\nf: 6\r\n");
        lines.retain(|name, _| name != b"b");
        assert_eq!(written(&lines, b"a"), "> c: 3\r\nd: 4\r\ne: 5\r\nf: 6\r\n");
        let fields: Vec<u8> = lines.iter().flat_map(|field| [field.name, field.value].concat()).collect();
        assert_eq!(fields, b"a1c3d4e5f6");
    }
}
