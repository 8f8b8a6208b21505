//! Patterns as the documentation describes them, written for being plain and not for being fast. The route table and the
//! promises about paths are held against it.

use std::cmp::Ordering;

/// A pattern, and the host of its route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) host: Option<String>,
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    One,
    Rest,
}

/// What a backend may ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ignoring {
    pub(crate) case: bool,
    pub(crate) slash: bool,
}

pub(crate) const NOTHING: Ignoring = Ignoring { case: false, slash: false };
pub(crate) const ALL_READINGS: [Ignoring; 4] = [
    NOTHING,
    Ignoring { case: true, slash: false },
    Ignoring { case: false, slash: true },
    Ignoring { case: true, slash: true },
];

impl Model {
    pub(crate) fn parse(host: Option<&str>, pattern: &str) -> Self {
        let segment = |text: &str| match text.strip_prefix('{') {
            Some(name) if name.starts_with('*') => Segment::Rest,
            Some(_) => Segment::One,
            None => Segment::Literal(text.to_owned()),
        };
        Self { host: host.map(str::to_owned), segments: pattern[1..].split('/').map(segment).collect() }
    }

    /// Whether the two are the same pattern for requests: names of parameters do not matter.
    pub(crate) fn same_shape(&self, other: &Self) -> bool {
        self == other
    }

    pub(crate) fn has_trailing_slash(&self) -> bool {
        self.segments.len() > 1 && self.segments.last() == Some(&Segment::Literal(String::new()))
    }

    pub(crate) fn matches(&self, host: &str, path: &str, ignoring: Ignoring) -> bool {
        if self.host.as_deref().is_some_and(|own| own != host) || !path.starts_with('/') {
            return false;
        }
        let mut segments = &self.segments[..];
        let mut path: Vec<&str> = path[1..].split('/').collect();
        if ignoring.slash {
            segments = &segments[..segments.len() - usize::from(self.has_trailing_slash())];
            if path.len() > 1 && path.last() == Some(&"") {
                path.pop();
            }
        }
        matches(segments, &path, ignoring.case)
    }

    /// `Less` is more specific. Only patterns that match the same path can be compared. A trailing slash makes no
    /// difference.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }

    fn rank(&self) -> (bool, Vec<u8>) {
        let kind = |segment: &Segment| match segment {
            Segment::Literal(_) => 0,
            Segment::One => 1,
            Segment::Rest => 2,
        };
        let length = self.segments.len() - usize::from(self.has_trailing_slash());
        (self.host.is_none(), self.segments[..length].iter().map(kind).collect())
    }
}

/// The same for all texts that backends take for one, in lower case or in upper case.
fn without_case(text: &str) -> String {
    text.to_lowercase().to_uppercase().to_lowercase()
}

fn matches(segments: &[Segment], path: &[&str], ignoring_case: bool) -> bool {
    let Some((segment, segments)) = segments.split_first() else { return path.is_empty() };
    let Some((first, rest)) = path.split_first() else { return false };
    let matches_first = match segment {
        Segment::Rest => return path != [""],
        Segment::One => !first.is_empty(),
        Segment::Literal(text) if ignoring_case => without_case(text) == without_case(first),
        Segment::Literal(text) => text == first,
    };
    matches_first && matches(segments, rest, ignoring_case)
}
