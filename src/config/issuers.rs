//! `issuers`: who signs tokens, and what only one of them can have.

use std::collections::{BTreeSet, HashMap};

use crate::core::snapshot::{Issuer, IssuerId};

use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::source::Place;
use super::yaml::{Node, Value};
use super::{KeySource, issuer, keys, words};

/// The issuers, and where each is in the file.
#[derive(Default)]
pub(super) struct Declared<'t> {
    pub(super) all: Vec<Issuer>,
    /// Where their keys come from.
    pub(super) key_sources: Vec<KeySource>,
    places: Vec<Place>,
    prefixes: BTreeSet<Box<str>>,
    ids: HashMap<&'t str, IssuerId>,
    used: Vec<bool>,
    /// Whether the section is there, be it with problems of its own.
    is_declared: bool,
}

impl Declared<'_> {
    /// Whether the section is missing.
    pub(super) fn is_missing(&self) -> bool {
        !self.is_declared
    }

    /// What is taken off scopes before they are compared, if this scope begins with it.
    pub(super) fn prefix_of(&self, scope: &str) -> Option<&str> {
        self.prefixes.iter().map(|prefix| &**prefix).find(|prefix| scope.starts_with(prefix))
    }

    /// The issuer that a route names.
    pub(super) fn named(&mut self, report: &mut Report<'_>, node: &Node<'_>) -> Option<IssuerId> {
        let name = report.text(node, "the name of an issuer")?;
        let Some(id) = self.ids.get(name).copied() else {
            let message = format!("no issuer is called `{}`", words::shown(name));
            report.unknown_word(node.place, message, name, self.ids.keys().copied());
            return None;
        };
        if let Some(used) = self.used.get_mut(usize::from(id.0)) {
            *used = true;
        }
        Some(id)
    }

    /// Some route takes the tokens of every issuer.
    pub(super) fn use_all(&mut self) {
        self.used.fill(true);
    }

    /// Warns of issuers whose tokens open nothing.
    pub(super) fn warn_unused(&self, report: &mut Report<'_>) {
        for ((issuer, place), _) in self.all.iter().zip(&self.places).zip(&self.used).filter(|(_, used)| !**used) {
            report.warn(*place, format!("no route takes tokens of the issuer `{}`", issuer.name));
        }
    }
}

pub(super) fn decode<'t>(file: &Fields<'t>, files: &mut Files<'_>, report: &mut Report<'_>) -> Declared<'t> {
    let mut declared = Declared { is_declared: file.get("issuers").is_some(), ..Declared::default() };
    let mut seen = Seen::default();
    let items = report.field(file, "issuers", |report, node| report.items(node, "a list of issuers"));
    for item in items.unwrap_or_default() {
        let Some(fields) = report.fields(item, &keys::ISSUER) else { continue };
        let Ok(id) = u16::try_from(declared.all.len()) else {
            report.error(item.place, "more than 65536 issuers");
            break;
        };
        if let Some(name) = report.required(&fields, "name", |report, node| report.text(node, "a name")) {
            declared.ids.insert(name, IssuerId(id));
        }
        seen.check(&fields, report);
        // An issuer with problems has none of its own afterwards: there is no configuration then.
        if let Some((issuer, key_source)) = issuer::decode(&fields, files, report) {
            declared.places.push(item.place);
            declared.used.push(false);
            if !issuer.scope_prefix.is_empty() {
                declared.prefixes.insert(issuer.scope_prefix.clone());
            }
            declared.all.push(issuer);
            declared.key_sources.push(key_source);
        }
    }
    declared
}

/// What only one issuer can have.
#[derive(Default)]
struct Seen<'t> {
    names: HashMap<&'t str, Place>,
    iss: HashMap<&'t str, Place>,
    without_iss: Option<Place>,
}

impl<'t> Seen<'t> {
    fn check(&mut self, fields: &Fields<'t>, report: &mut Report<'_>) {
        let scalar = |key| match fields.get(key) {
            Some(Node { place, value: Value::Scalar(scalar) }) => Some((&*scalar.text, *place)),
            _ => None,
        };
        if let Some((name, place)) = scalar("name")
            && let Some(first) = self.names.insert(name, place)
        {
            report.error(place, "two issuers have this name").related(first, "the other one");
        }
        if let Some((iss, place)) = scalar("issuer")
            && let Some(first) = self.iss.insert(iss, place)
        {
            report
                .error(place, "two issuers have this `iss`: a token would not say whose it is")
                .related(first, "the other one");
        }
        if let Some(("false", place)) = scalar("require_iss")
            && let Some(first) = self.without_iss.replace(place)
        {
            report
                .error(place, "tokens without `iss` can belong to one issuer only")
                .related(first, "they belong to this one already");
        }
    }
}
