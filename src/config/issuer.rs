//! One issuer: whose tokens count, and for what.

use std::collections::HashSet;

use crate::core::keyset::{Algorithm, AlgorithmSet, Key, Keyset};
use crate::core::snapshot::{Audiences, Issuer, Kinds, Mode, TokenTypes};

use super::decode::Fields;
use super::files::Files;
use super::limits::SECONDS;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::yaml::{Node, Value};
use super::{KeySource, RegistrySource, claims, key_source, registry, words};

pub(super) const LEEWAY_SECONDS: i64 = 30;
const LEEWAY_SECONDS_USUAL_MAX: i64 = 300;

/// `mode`, wherever it stands.
pub(super) const MODES: &[(&str, Mode)] = &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)];

/// Decodes one issuer, where its keys come from, and who registers its clients.
pub(super) fn decode(
    fields: &Fields<'_>,
    files: &mut Files<'_>,
    report: &mut Report<'_>,
) -> Option<(Issuer, KeySource, RegistrySource)> {
    let name = report.required(fields, "name", |report, node| report.parsed(node, "a name", scalar::name));
    let iss = report
        .required(fields, "issuer", |report, node| report.parsed(node, "the value of `iss`", scalar::claim_value));
    let audiences = audiences(fields, report);
    let algorithms = report.field(fields, "algorithms", algorithms).unwrap_or_default();
    let keys = key_source::decode(fields, iss.as_deref(), files, report);
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
        report.parsed(node, "the beginning of a scope, such as partner/", scope_prefix)
    });
    let require_iss = report.field(fields, "require_iss", Report::boolean).unwrap_or(true);
    if let Some(place) = fields.key_place("require_iss").filter(|_| !require_iss) {
        report.warn(place, "`require_iss: false`: tokens without `iss` are taken for this issuer's");
    }
    let client_when = report.field(fields, "client_when", claims::client_when);
    let leeway_seconds = leeway(fields, report);
    let max_token_age_seconds =
        report.field(fields, "max_token_age", |report, node| report.quantity(node, SECONDS, max_token_age));
    let mode = report.field(fields, "mode", |report, node| report.word(node, MODES)).unwrap_or_default();
    if let Some(place) = fields.key_place("mode").filter(|_| mode == Mode::Shadow) {
        report.warn(place, "`mode: shadow`: whatever this issuer's keys have signed is let through");
    }
    let registry = registry::decode(fields, files, report);
    let (key_source, keys) = keys?;
    if key_source == KeySource::File {
        check_keys(&keys, algorithms, fields, report);
    }
    let issuer = Issuer {
        name: name?,
        iss: iss?,
        audiences: audiences?,
        algorithms,
        keys,
        keys_are_fetched: key_source != KeySource::File,
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
    };
    Some((issuer, key_source, registry?))
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
        "any" => Err(Flaw::new("in a list, `any` is an audience of that name").hint("write `audiences: any`")),
        _ => scalar::claim_value(text),
    };
    let read = |report: &mut Report<'_>, item| report.parsed(item, "an audience", audience);
    let audiences = report.list_of(node, "a list of audiences, or `any`", read)?;
    Some(Audiences::OneOf(audiences.into()))
}

/// Keys of which none can have made a signature that is accepted would refuse every token.
fn check_keys(keys: &Keyset, algorithms: AlgorithmSet, fields: &Fields<'_>, report: &mut Report<'_>) {
    let serves = |key: &Key| key.algorithms().iter().any(|algorithm| algorithms.contains(algorithm));
    if !keys.iter().any(serves)
        && let Some(node) = fields.get("algorithms")
    {
        report.error(node.place, "none of the issuer's keys is for any of these algorithms");
    }
}

fn algorithms(report: &mut Report<'_>, node: &Node<'_>) -> Option<AlgorithmSet> {
    let known = || Algorithm::ALL.iter().map(|algorithm| algorithm.name());
    let expected = words::or_list(known());
    let before = report.problems();
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
    (report.problems() == before).then(|| algorithms.into_iter().collect())
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
    if let Some(claims) = fields.get("claims")
        && claims::names_tenant(claims)
    {
        let message = "the tenant comes from `fixed_tenant` or from `claims.tenant`, not from both";
        report.error(node.place, message).related(claims.place, "`claims` names one");
    }
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

pub(super) fn scope_prefix(text: &str) -> Result<Box<str>, Flaw> {
    match text {
        "" => Ok(text.into()),
        _ => scalar::scope(text).map_err(|flaw| Flaw { hint: None, ..flaw }),
    }
}

fn max_token_age(text: &str) -> Result<i64, Flaw> {
    match scalar::whole_seconds(text)? {
        0 => Err(Flaw::new("the duration is zero")),
        seconds => Ok(seconds),
    }
}

fn leeway(fields: &Fields<'_>, report: &mut Report<'_>) -> i64 {
    let Some(node) = fields.get("leeway") else { return LEEWAY_SECONDS };
    let seconds = report.quantity(node, SECONDS, scalar::whole_seconds).unwrap_or(LEEWAY_SECONDS);
    if seconds > LEEWAY_SECONDS_USUAL_MAX {
        report.warn(node.place, "`leeway` over 5m: tokens are accepted that long after they have expired");
    }
    seconds
}
