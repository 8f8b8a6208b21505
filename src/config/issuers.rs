//! `issuers`: who signs tokens, and what they may speak for.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::core::keyset::{Algorithm, AlgorithmSet, Key, Keyset};
use crate::core::snapshot::{Audiences, Issuer, IssuerId, Kinds, Mode, TokenTypes};

use super::claims;
use super::decode::Fields;
use super::keyfile::KeyFiles;
use super::limits::DURATION;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::source::Place;
use super::yaml::{Node, Value};
use super::{keys, words};

const LEEWAY_SECONDS: i64 = 30;
const LEEWAY_SECONDS_USUAL_MAX: i64 = 300;

/// `mode`, wherever it stands.
pub(super) const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

/// The issuers, and where each is in the file.
#[derive(Default)]
pub(super) struct Declared<'t> {
    pub(super) all: Vec<Issuer>,
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

pub(super) fn decode<'t>(file: &Fields<'t>, key_files: &mut KeyFiles<'_>, report: &mut Report<'_>) -> Declared<'t> {
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
        if let Some(issuer) = issuer(&fields, key_files, report) {
            declared.places.push(item.place);
            declared.used.push(false);
            if !issuer.scope_prefix.is_empty() {
                declared.prefixes.insert(issuer.scope_prefix.clone());
            }
            declared.all.push(issuer);
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

fn issuer(fields: &Fields<'_>, key_files: &mut KeyFiles<'_>, report: &mut Report<'_>) -> Option<Issuer> {
    let name = report.field(fields, "name", |report, node| report.parsed(node, "a name", scalar::name));
    let iss = report.required(fields, "issuer", |report, node| report.parsed(node, "the value of `iss`", claim));
    let audiences = audiences(fields, report);
    let algorithms = report.field(fields, "algorithms", algorithms).unwrap_or_default();
    let keys = key_files.of_issuer(fields, report);
    let clients = report.field(fields, "clients", |report, node| claim_values(report, node, "a list of client ids"));
    let tenants = report.field(fields, "tenants", |report, node| claim_values(report, node, "a list of tenants"));
    let fixed_tenant = fixed_tenant(fields, tenants.as_ref(), report);
    let token_kinds = report.field(fields, "token_kinds", kinds).unwrap_or(Kinds { client: true, user: false });
    if let Some(place) = fields.key_place("token_kinds").filter(|_| token_kinds.user) {
        report.warn(place, "`token_kinds` with `user`: a user's login opens the routes that do not narrow it");
    }
    let token_types = report.field(fields, "token_types", token_types).unwrap_or(TokenTypes::Default);
    let claims = report.field(fields, "claims", claims::decode).unwrap_or_else(claims::default);
    let scope_prefix = report.field(fields, "scope_prefix", |report, node| {
        report.parsed(node, "the beginning of a scope", |text| {
            if text.is_empty() { Ok(text.into()) } else { scalar::scope(text) }
        })
    });
    let require_iss = report.field(fields, "require_iss", Report::boolean).unwrap_or(true);
    if let Some(place) = fields.key_place("require_iss").filter(|_| !require_iss) {
        report.warn(place, "`require_iss: false`: tokens without `iss` are taken for this issuer's");
    }
    let client_when = report.field(fields, "client_when", claims::client_when);
    let leeway_seconds = leeway(fields, report);
    let max_token_age_seconds = report.field(fields, "max_token_age", |report, node| {
        report.quantity(node, DURATION, |text| match scalar::whole_seconds(text)? {
            0 => Err(Flaw::new("the duration is zero")),
            seconds => Ok(seconds),
        })
    });
    let mode = report.field(fields, "mode", |report, node| report.word(node, MODES)).unwrap_or_default();
    if let Some(place) = fields.key_place("mode").filter(|_| mode == Mode::Shadow) {
        report.warn(place, "`mode: shadow`: whatever this issuer's keys have signed is let through");
    }
    Some(Issuer {
        name: name?,
        iss: iss?,
        audiences: audiences?,
        algorithms,
        keys: check_keys(keys?, algorithms, fields, report),
        clients,
        tenants,
        fixed_tenant,
        token_kinds,
        token_types,
        claims,
        scope_prefix: scope_prefix.unwrap_or_default(),
        require_iss,
        client_when,
        leeway_seconds,
        max_token_age_seconds,
        mode,
    })
}

fn claim(text: &str) -> Result<Box<str>, Flaw> {
    scalar::claim_value(text)
}

fn audiences(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Audiences> {
    let Some(node) = fields.get("audiences") else {
        let expected =
            "expected `audiences: [https://api.example.com]`, or `audiences: any` if `aud` is not to be checked";
        report.missing(fields, "audiences", expected);
        return None;
    };
    if matches!(&node.value, Value::Scalar(scalar) if scalar.text == "any") {
        report.warn(node.place, "`audiences: any`: tokens that this issuer made for other services are accepted");
        return Some(Audiences::Any);
    }
    let audience = |text: &str| match text {
        "any" => Err(Flaw::new("`any` in a list is an audience of this name").hint("write `audiences: any`")),
        _ => scalar::claim_value(text),
    };
    let read = |report: &mut Report<'_>, item| report.parsed(item, "an audience", audience);
    let audiences = report.list_of(node, "a list of audiences, or `any`", read)?;
    Some(Audiences::OneOf(audiences.into()))
}

/// Keys of which none can have made a signature that is accepted would refuse every token.
fn check_keys(keys: Keyset, algorithms: AlgorithmSet, fields: &Fields<'_>, report: &mut Report<'_>) -> Keyset {
    let serves = |key: &Key| key.algorithms().iter().any(|algorithm| algorithms.contains(algorithm));
    if !keys.iter().any(serves)
        && let Some(node) = fields.get("algorithms")
    {
        report.error(node.place, "none of the issuer's keys is for any of these algorithms");
    }
    keys
}

fn algorithms(report: &mut Report<'_>, node: &Node<'_>) -> Option<AlgorithmSet> {
    let known = || Algorithm::ALL.iter().map(|algorithm| algorithm.name());
    let expected = words::or_list(known());
    let algorithms = report.list_of(node, "a list of algorithms", |report, item| {
        let text = report.text(item, "the name of an algorithm")?;
        let algorithm = Algorithm::from_name(text);
        if algorithm.is_none() {
            let message = match text {
                "HS256" | "HS384" | "HS512" => "not accepted: whoever can check such a signature can make one",
                _ if text.eq_ignore_ascii_case("none") => "not accepted: `none` is no signature",
                _ => "unknown algorithm",
            };
            report.unknown_word(item.place, message, text, known()).expected(format!("expected {expected}"));
        }
        algorithm
    })?;
    Some(algorithms.into_iter().collect())
}

/// A set of values that a claim may have, as the value of a key.
pub(super) fn claim_values(report: &mut Report<'_>, node: &Node<'_>, expected: &str) -> Option<HashSet<Box<str>>> {
    let read = |report: &mut Report<'_>, item| report.parsed(item, "a string", scalar::claim_value);
    Some(report.list_of(node, expected, read)?.into_iter().collect())
}

fn fixed_tenant(fields: &Fields<'_>, tenants: Option<&HashSet<Box<str>>>, report: &mut Report<'_>) -> Option<Box<str>> {
    let node = fields.get("fixed_tenant")?;
    let tenant = report.parsed(node, "a tenant", |text| {
        scalar::header_text(text)?;
        Ok(Box::from(text))
    })?;
    if tenants.is_some_and(|tenants| !tenants.contains(&tenant)) {
        report.error(node.place, "not one of this issuer's `tenants`: every token would be refused");
    }
    Some(tenant)
}

/// `token_kinds`, on an issuer or a route.
pub(super) fn kinds(report: &mut Report<'_>, node: &Node<'_>) -> Option<Kinds> {
    let one = |client, user| Kinds { client, user };
    let words = [("client", one(true, false)), ("user", one(false, true))];
    let kinds = report.list_of(node, "a list of `client` and `user`", |report, item| report.word(item, &words))?;
    let union = |a: Kinds, b: Kinds| Kinds { client: a.client || b.client, user: a.user || b.user };
    Some(kinds.into_iter().fold(one(false, false), union))
}

/// Media types are compared without case and without `application/` (RFC 7515 section 4.1.9).
fn token_types(report: &mut Report<'_>, node: &Node<'_>) -> Option<TokenTypes> {
    let types = report.list_of(node, "a list of `typ` values", |report, item| {
        let lower = report.parsed(item, "a media type such as at+jwt", scalar::name)?.to_lowercase();
        Some(Box::from(lower.strip_prefix("application/").unwrap_or(&lower)))
    })?;
    Some(TokenTypes::OneOf(types.into()))
}

fn leeway(fields: &Fields<'_>, report: &mut Report<'_>) -> i64 {
    let Some(node) = fields.get("leeway") else { return LEEWAY_SECONDS };
    let seconds = report.quantity(node, DURATION, scalar::whole_seconds).unwrap_or(LEEWAY_SECONDS);
    if seconds > LEEWAY_SECONDS_USUAL_MAX {
        report.warn(node.place, "`leeway` over 5m: tokens are accepted that long after they have expired");
    }
    seconds
}
