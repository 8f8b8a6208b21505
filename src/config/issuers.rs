//! `issuers`: who signs tokens, and what only one of them can have.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::core::keyset::Algorithm;
use crate::core::snapshot::{Audiences, Issuer, IssuerId, Kinds, Mode, TokenTypes};

use super::authority::ISSUER_NAME;
use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::source::Place;
use super::yaml::{Node, Value};
use super::{Authority, KeySource, RegistrySource, claims, issuer, keys, words};

/// The issuers, and where each is in the file.
#[derive(Default)]
pub(super) struct Declared<'t> {
    pub(super) all: Vec<Issuer>,
    /// Where their keys come from.
    pub(super) key_sources: Vec<KeySource>,
    /// Who registers their clients.
    pub(super) registries: Vec<RegistrySource>,
    places: Vec<Place>,
    prefixes: BTreeSet<Box<str>>,
    ids: HashMap<&'t str, IssuerId>,
    used: Vec<bool>,
    seen: Seen<'t>,
    /// Whether there is a section that could name one, be it with problems of its own.
    is_declared: bool,
}

impl<'t> Declared<'t> {
    /// Whether there is nobody whose tokens could be trusted.
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

    fn push(&mut self, issuer: Issuer, key_source: KeySource, registry: RegistrySource, place: Place) {
        self.places.push(place);
        self.used.push(false);
        if !issuer.scope_prefix.is_empty() {
            self.prefixes.insert(issuer.scope_prefix.clone());
        }
        self.all.push(issuer);
        self.key_sources.push(key_source);
        self.registries.push(registry);
    }

    /// Adds the authority: one more issuer.
    pub(super) fn add_authority(&mut self, authority: &Authority, place: Place, report: &mut Report<'_>) {
        if let Some(named) = self.seen.names.get(ISSUER_NAME) {
            report
                .error(*named, format!("`{ISSUER_NAME}` is what the issuer of the section `authority` is called"))
                .related(place, "that section");
        }
        if let Some(named) = self.seen.iss.get(&*authority.issuer) {
            report
                .error(*named, "the section `authority` has this `iss`: its tokens are trusted without an entry here")
                .related(place, "that section");
        }
        let Ok(id) = u16::try_from(self.all.len()) else {
            report.error(place, "more than 65536 issuers");
            return;
        };
        self.ids.insert(ISSUER_NAME, IssuerId(id));
        self.push(issuer_of(authority), KeySource::Authority, RegistrySource::Authority, place);
        // Its tokens may be for others: no route has to take them.
        self.used.pop();
        self.used.push(true);
    }

    /// Warns of issuers whose tokens open nothing.
    pub(super) fn warn_unused(&self, report: &mut Report<'_>) {
        for ((issuer, place), _) in self.all.iter().zip(&self.places).zip(&self.used).filter(|(_, used)| !**used) {
            report.warn(*place, format!("no route takes tokens of the issuer `{}`", issuer.name));
        }
    }
}

pub(super) fn decode<'t>(file: &Fields<'t>, files: &mut Files<'_>, report: &mut Report<'_>) -> Declared<'t> {
    let is_declared = file.get("issuers").is_some() || file.get("authority").is_some();
    let mut declared = Declared { is_declared, ..Declared::default() };
    let items = report.field(file, "issuers", |report, node| report.items(node, "a list of issuers"));
    for item in items.unwrap_or_default() {
        let Some(fields) = report.fields(item, &keys::ISSUER) else { continue };
        let Ok(id) = u16::try_from(declared.all.len()) else {
            report.error(item.place, "more than 65536 issuers");
            break;
        };
        // Whatever is wrong with the name is for the issuer to say; routes may name it all the same.
        if let Some(Node { value: Value::Scalar(name), .. }) = fields.get("name") {
            declared.ids.insert(&name.text, IssuerId(id));
        }
        declared.seen.check(&fields, report);
        // An issuer with problems has none of its own afterwards: there is no configuration then.
        if let Some((issuer, key_source, registry)) = issuer::decode(&fields, files, report) {
            declared.push(issuer, key_source, registry, item.place);
        }
    }
    declared
}

/// The authority as an issuer. Its tokens are all alike, so that there is nothing to configure.
fn issuer_of(authority: &Authority) -> Issuer {
    Issuer {
        name: ISSUER_NAME.into(),
        iss: authority.issuer.clone(),
        audiences: Audiences::OneOf([authority.audience.clone()].into()),
        // All that it can sign with: a rotation may change the algorithm.
        algorithms: [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa].into_iter().collect(),
        keys: Arc::default(),
        keys_are_fetched: false,
        clients: None,
        tenants: None,
        fixed_tenant: None,
        token_kinds: Kinds { client: true, user: false },
        token_types: TokenTypes::OneOf(["at+jwt".into()].into()),
        claims: claims::of_authority(),
        scope_prefix: authority.scope_prefix.clone(),
        require_iss: true,
        client_when: None,
        leeway_seconds: issuer::LEEWAY_SECONDS,
        max_token_age_seconds: None,
        mode: Mode::Enforce,
    }
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
