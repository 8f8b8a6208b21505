//! Reading the tree: mappings that know their keys, lists, and scalars of every kind. Each reader reports what is wrong
//! and gives `None`; the caller goes on with the next key.

use super::keys::Section;
use super::report::Report;
use super::scalar::Flaw;
use super::source::Place;
use super::words;
use super::yaml::{Entry, Node, Origin, Scalar, Value};

/// A mapping whose keys are known.
pub(super) struct Fields<'t> {
    pub(super) place: Place,
    entries: &'t [Entry<'t>],
    section: &'static Section,
    /// Keys that unknown ones were probably meant to be: it is not reported as well that they are missing.
    meant: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    /// The value of a key.
    pub(super) fn get(&self, key: &'static str) -> Option<&'t Node<'t>> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The place of a key, if it is there.
    pub(super) fn key_place(&self, key: &'static str) -> Option<Place> {
        self.entry(key).map(|entry| entry.key.place)
    }

    /// Whether a key is there, or something that has been reported may stand for it.
    pub(super) fn may_have(&self, key: &'static str) -> bool {
        let is_broken = |entry: &Entry<'_>| entry.key.broken && self.entries.iter().all(|e| e.key.text != key);
        self.entry(key).is_some() || self.meant.contains(&key) || self.entries.iter().any(is_broken)
    }

    fn entry(&self, key: &'static str) -> Option<&'t Entry<'t>> {
        debug_assert!(self.section.keys.contains(&key), "`{key}` is not in the table of {}", self.section.path);
        self.entries.iter().find(|entry| entry.key.text == key)
    }
}

impl Report<'_> {
    /// A mapping with the keys of a section; unknown ones are reported.
    pub(super) fn fields<'t>(&mut self, node: &'t Node<'t>, section: &'static Section) -> Option<Fields<'t>> {
        let entries = self.entries(node, "a mapping")?;
        let known = || section.keys.iter().copied();
        let mut meant = Vec::new();
        for key in entries.iter().map(|entry| &entry.key).filter(|key| !key.broken) {
            if !section.keys.contains(&&*key.text) {
                let nearest = words::nearest(&key.text, known());
                meant.extend(nearest);
                let expected = format!("expected {}", words::or_list(known()));
                self.error(key.place, "unknown key").expected(expected).did_you_mean(nearest);
            }
        }
        Some(Fields { place: node.place, entries, section, meant })
    }

    /// A mapping whose keys are up to the operator.
    pub(super) fn entries<'t>(&mut self, node: &'t Node<'t>, expected: &str) -> Option<&'t [Entry<'t>]> {
        match &node.value {
            Value::Map(entries) => Some(entries),
            _ => self.wrong_type(node, expected),
        }
    }

    /// What a key says, read by `read`.
    pub(super) fn field<'t, T>(
        &mut self,
        fields: &Fields<'t>,
        key: &'static str,
        read: impl FnOnce(&mut Self, &'t Node<'t>) -> Option<T>,
    ) -> Option<T> {
        read(self, fields.get(key)?)
    }

    /// The same for a key that has to be there.
    pub(super) fn required<'t, T>(
        &mut self,
        fields: &Fields<'t>,
        key: &'static str,
        read: impl FnOnce(&mut Self, &'t Node<'t>) -> Option<T>,
    ) -> Option<T> {
        let Some(node) = fields.get(key) else {
            self.missing(fields, key, format!("expected a key `{key}` here"));
            return None;
        };
        read(self, node)
    }

    /// Reports a key that is not there.
    pub(super) fn missing(&mut self, fields: &Fields<'_>, key: &'static str, expected: impl Into<String>) {
        if !fields.may_have(key) {
            self.error(fields.place, "missing").missing(key).expected(expected);
        }
    }

    /// A list with at least one item: what an empty one would mean is never guessed.
    pub(super) fn items<'t>(&mut self, node: &'t Node<'t>, expected: &str) -> Option<&'t [Node<'t>]> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.error(node.place, "the list is empty").expected(format!("expected {expected}, at least one"));
                None
            }
            Value::List(items) => Some(items),
            _ => self.wrong_type(node, expected),
        }
    }

    /// A list of strings and the like, read item by item. Items that are wrong are left out, and reported.
    pub(super) fn list_of<'t, T>(
        &mut self,
        node: &'t Node<'t>,
        expected: &str,
        mut read: impl FnMut(&mut Self, &'t Node<'t>) -> Option<T>,
    ) -> Option<Vec<T>> {
        if matches!(&node.value, Value::Scalar(scalar) if is_string(scalar)) {
            let written = words::shown(self.source.written(node.place)).into_owned();
            self.error(node.place, format!("expected {expected}, found a string")).hint(format!("write `[{written}]`"));
            return None;
        }
        let items = self.items(node, expected)?;
        Some(items.iter().filter_map(|item| read(self, item)).collect())
    }

    /// A string.
    pub(super) fn text<'t>(&mut self, node: &'t Node<'t>, expected: &str) -> Option<&'t str> {
        match &node.value {
            Value::Scalar(scalar) if is_string(scalar) => Some(&scalar.text),
            Value::Scalar(scalar) if !is_null(scalar) => {
                let quoted = format!("quote it if the text is meant: `\"{}\"`", words::shown(&scalar.text));
                self.error(node.place, format!("expected a string, found {}", kind(node)))
                    .expected(format!("expected {expected}"))
                    .hint(quoted);
                None
            }
            _ => self.wrong_type(node, expected),
        }
    }

    /// A string that `parse` makes something of.
    pub(super) fn parsed<'t, T>(
        &mut self,
        node: &'t Node<'t>,
        expected: &str,
        parse: impl FnOnce(&'t str) -> Result<T, Flaw>,
    ) -> Option<T> {
        let text = self.text(node, expected)?;
        parse(text).map_err(|flaw| self.flaw(node, text, flaw, expected)).ok()
    }

    /// The same for what may look like a number, as `30` in place of `30s`.
    pub(super) fn quantity<'t, T>(
        &mut self,
        node: &'t Node<'t>,
        expected: &str,
        parse: impl FnOnce(&'t str) -> Result<T, Flaw>,
    ) -> Option<T> {
        match &node.value {
            Value::Scalar(scalar) if !is_null(scalar) => {
                parse(&scalar.text).map_err(|flaw| self.flaw(node, &scalar.text, flaw, expected)).ok()
            }
            _ => self.wrong_type(node, expected),
        }
    }

    /// Reports a flaw of a scalar at the part it is in.
    pub(super) fn flaw(&mut self, node: &Node<'_>, text: &str, flaw: Flaw, expected: &str) {
        let Flaw { message, hint, at } = flaw;
        let place = at.map_or(node.place, |part| self.source.part(node.place, text, part));
        let finding = self.error(place, message).expected(format!("expected {expected}"));
        // Hints repeat the text. What came out of the environment is not shown: it may be a secret in the wrong place.
        if let Some(hint) = hint.filter(|_| !node.is_from_environment()) {
            finding.hint(hint);
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        let Value::Scalar(scalar) = &node.value else { return self.wrong_type(node, "`true` or `false`") };
        match (&*scalar.text, scalar.origin) {
            ("true", Origin::Plain | Origin::Environment) => return Some(true),
            ("false", Origin::Plain | Origin::Environment) => return Some(false),
            _ => {}
        }
        let meant = match &*scalar.text.to_ascii_lowercase() {
            "yes" | "on" | "y" | "true" | "1" => Some("true"),
            "no" | "off" | "n" | "false" | "0" => Some("false"),
            _ => None,
        };
        let finding = self.error(node.place, format!("expected a boolean, found {}", kind(node)));
        finding.expected("expected `true` or `false`");
        if let Some(meant) = meant {
            finding.hint(format!("write `{meant}`"));
        }
        None
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node<'_>, words: &[(&'static str, T)]) -> Option<T> {
        let known = words.iter().map(|(word, _)| *word);
        let expected = words::or_list(known.clone());
        let Value::Scalar(scalar) = &node.value else { return self.wrong_type(node, &expected) };
        if !is_string(scalar) {
            return self.wrong_type(node, &expected);
        }
        let text = &*scalar.text;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            self.unknown_word(node.place, "unknown word", text, known).expected(format!("expected {expected}"));
        }
        found
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, node: &Node<'_>, range: std::ops::RangeInclusive<usize>) -> Option<usize> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let parse = |text: &str| match text.parse::<usize>() {
            Ok(number) if range.contains(&number) => Ok(number),
            Ok(_) => Err(Flaw::new("out of range")),
            Err(_) => Err(Flaw::new("not a whole number")),
        };
        self.quantity(node, &expected, parse)
    }

    /// Reports that a node is of another kind than expected, unless it has been reported already.
    pub(super) fn wrong_type<T>(&mut self, node: &Node<'_>, expected: &str) -> Option<T> {
        if !matches!(node.value, Value::Broken) {
            self.error(node.place, format!("expected {expected}, found {}", kind(node)));
        }
        None
    }
}

/// What a node is, in words.
fn kind(node: &Node<'_>) -> &'static str {
    match &node.value {
        Value::Scalar(scalar) if is_null(scalar) => "nothing (null)",
        Value::Scalar(scalar) if is_string(scalar) => "a string",
        Value::Scalar(scalar) if is_boolean(&scalar.text) => "a boolean",
        Value::Scalar(_) => "a number",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
        Value::Broken => "something broken",
    }
}

fn is_null(scalar: &Scalar<'_>) -> bool {
    scalar.origin == Origin::Plain && matches!(&*scalar.text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_string(scalar: &Scalar<'_>) -> bool {
    scalar.origin != Origin::Plain || !(is_null(scalar) || is_boolean(&scalar.text) || is_number(&scalar.text))
}

fn is_boolean(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "false" | "False" | "FALSE")
}

/// A number in YAML's core schema (YAML 1.2.2 section 10.3.2).
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let based = |prefix: &str, base: u32| {
        text.strip_prefix(prefix).is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(base)))
    };
    let starts_like_one = unsigned.strip_prefix('.').unwrap_or(unsigned).starts_with(|c: char| c.is_ascii_digit());
    (starts_like_one && text.parse::<f64>().is_ok())
        || based("0x", 16)
        || based("0o", 8)
        || matches!(unsigned, ".inf" | ".Inf" | ".INF")
        || matches!(text, ".nan" | ".NaN" | ".NAN")
}
