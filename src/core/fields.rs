//! Header fields, wherever they stand: in a map, as HTTP/2 and the other fronts make it, or in the bytes of a head of
//! HTTP/1.1. A decision needs five of them, and a map of all is more work than the whole of it.

use std::fmt;
use std::slice;

use bytes::Bytes;
use http::header::ValueIter;
use http::{HeaderMap, HeaderName, HeaderValue};

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

/// The fields of one head of HTTP/1.1, in the bytes that they came in and in their order. Names are in lower case.
#[derive(Clone, Default)]
pub struct Lines {
    bytes: Bytes,
    lines: Vec<Line>,
    /// A bit for each [`trait_of`] a name: most names that are looked for are not there, and are not looked for any further.
    traits: u64,
    /// Those that were added since.
    more: Vec<(HeaderName, HeaderValue)>,
}

/// Where name and value begin and end. A head is far below 4 GiB.
#[derive(Debug, Clone, Copy)]
struct Line {
    name: (u32, u32),
    value: (u32, u32),
}

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
    pub fn all(self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        match self.0 {
            Kind::Map(map) => Values::Map(map.get_all(name).iter()),
            Kind::Lines(lines) => {
                debug_assert!(lines.more.is_empty(), "nothing is looked up once something was added");
                let name = name.as_str();
                let rest = if lines.may_have(name.as_bytes()) { lines.lines.iter() } else { [].iter() };
                Values::Lines { bytes: &lines.bytes, rest, name }
            }
        }
    }

    /// How often this name is there.
    #[must_use]
    pub fn occurs(self, name: &HeaderName) -> Occurs<'a> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Occurs::Never,
            (Some(value), None) => Occurs::Once(value),
            (Some(_), Some(_)) => Occurs::Again,
        }
    }

    /// Whether this name is there.
    #[must_use]
    pub fn contains(self, name: &HeaderName) -> bool {
        self.all(name).next().is_some()
    }

    /// Names, in lower case, and values, in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let (map, lines) = match self.0 {
            Kind::Map(map) => (Some(map), None),
            Kind::Lines(lines) => (None, Some(lines)),
        };
        let map = map.into_iter().flatten().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        map.chain(lines.into_iter().flat_map(Lines::iter))
    }

    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Kind::Map(map) => map.len(),
            Kind::Lines(lines) => lines.lines.len() + lines.more.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

enum Values<'a, 'n> {
    Map(ValueIter<'a, HeaderValue>),
    Lines { bytes: &'a [u8], rest: slice::Iter<'a, Line>, name: &'n str },
}

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self {
            Self::Map(values) => values.next().map(HeaderValue::as_bytes),
            Self::Lines { bytes, rest, name } => {
                let line = rest.find(|line| line.is_named(bytes, name.as_bytes()))?;
                Some(slice(bytes, line.value))
            }
        }
    }
}

impl Line {
    fn is_named(&self, bytes: &[u8], name: &[u8]) -> bool {
        (self.name.1 - self.name.0) as usize == name.len() && slice(bytes, self.name) == name
    }
}

impl Lines {
    /// The fields of a head with these bytes, of which all names and values are parts. Names have to be in lower case.
    pub fn new<'a>(bytes: &Bytes, fields: impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let place = |part: &[u8]| {
            let start = (part.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
            // An empty value may point anywhere; what is no part of the head is read as empty.
            (start as u32, (start as u32).wrapping_add(part.len() as u32))
        };
        let (mut lines, mut traits) = (Vec::with_capacity(fields.len()), 0);
        for (name, value) in fields {
            traits |= trait_of(name);
            lines.push(Line { name: place(name), value: place(value) });
        }
        Self { bytes: bytes.clone(), lines, traits, more: Vec::new() }
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let more = self.more.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
        self.lines.iter().map(|line| (slice(&self.bytes, line.name), slice(&self.bytes, line.value))).chain(more)
    }

    /// Length of the head that they stand in.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Leaves out what `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&[u8], &[u8]) -> bool) {
        let Self { bytes, lines, .. } = self;
        lines.retain(|line| keep(slice(bytes, line.name), slice(bytes, line.value)));
    }

    /// Sets a field, in the place of any of the same name.
    pub fn set(&mut self, name: HeaderName, value: HeaderValue) {
        if self.may_have(name.as_str().as_bytes()) {
            self.retain(|is, _| is != name.as_str().as_bytes());
        }
        self.more.retain(|(is, _)| *is != name);
        self.more.push((name, value));
    }

    /// False for most names that are not there.
    fn may_have(&self, name: &[u8]) -> bool {
        self.traits & trait_of(name) != 0
    }

    /// Adds these fields to a map. Their values share the head's bytes. What is no field for the map is left out; there is
    /// none in a head that was parsed.
    pub fn append_to(&self, map: &mut HeaderMap) {
        map.reserve(self.lines.len());
        for line in &self.lines {
            let (name, value) = (slice(&self.bytes, line.name), slice(&self.bytes, line.value));
            let value = HeaderValue::from_maybe_shared(self.bytes.slice_ref(value));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
                let _ = map.try_append(name, value);
            }
        }
        map.extend(self.more.iter().cloned());
    }
}

/// One of 64 bits, by length and first letter of a name.
fn trait_of(name: &[u8]) -> u64 {
    let first = name.first().copied().unwrap_or_default();
    1 << ((name.len() as u32).wrapping_mul(5).wrapping_add(u32::from(first)) & 63)
}

fn slice(bytes: &[u8], (start, end): (u32, u32)) -> &[u8] {
    bytes.get(start as usize..end as usize).unwrap_or_default()
}

/// Names only: a value may be the token.
impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_the_same_wherever_they_stand() {
        let bytes = Bytes::from_static(b"host: h\r\nx-a: 1\r\nx-a: 2\r\nx-empty:\r\n");
        let part = |start, end| bytes.get(start..end).unwrap();
        let fields = [(0, 4, 6, 7), (9, 12, 14, 15), (17, 20, 22, 23), (25, 32, 33, 33)];
        let fields: Vec<_> = fields.into_iter().map(|(a, b, c, d)| (part(a, b), part(c, d))).collect();
        let lines = Lines::new(&bytes, fields.into_iter());
        let mut map = HeaderMap::new();
        lines.append_to(&mut map);
        for fields in [Fields::from(&lines), Fields::from(&map)] {
            let x_a = HeaderName::from_static("x-a");
            assert_eq!(fields.all(&x_a).collect::<Vec<_>>(), [b"1", b"2"]);
            assert_eq!(fields.occurs(&x_a), Occurs::Again);
            assert_eq!(fields.occurs(&http::header::HOST), Occurs::Once(b"h"));
            assert_eq!(fields.occurs(&HeaderName::from_static("x-empty")), Occurs::Once(b""));
            assert_eq!(fields.occurs(&http::header::TE), Occurs::Never);
            assert_eq!((fields.len(), fields.iter().count()), (4, 4));
        }
        let mut lines = lines;
        lines.retain(|name, value| name != b"x-a" || value == b"2");
        assert_eq!(Fields::from(&lines).all(&HeaderName::from_static("x-a")).collect::<Vec<_>>(), [b"2"]);
        lines.set(HeaderName::from_static("x-a"), HeaderValue::from_static("3"));
        let mut map = HeaderMap::new();
        lines.append_to(&mut map);
        assert_eq!(map.get_all("x-a").iter().collect::<Vec<_>>(), ["3"]);
        assert_eq!(lines.iter().count(), 3);
    }
}
