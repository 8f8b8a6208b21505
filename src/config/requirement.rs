//! Who may call a route. It is said on every route; what would leave it open, or say two things at once, is an error.

use crate::core::scope::{NameId, Vocabulary};
use crate::core::snapshot::{Requirement, TokenRequirement};

use super::Authority;
use super::decode::Fields;
use super::issuer;
use super::issuers::Declared;
use super::report::Report;
use super::roles::role_name;
use super::scalar;
use super::source::Place;
use super::yaml::Node;

/// What routes may name.
pub(super) struct Names<'n, 't> {
    pub(super) issuers: &'n mut Declared<'t>,
    pub(super) scopes: &'n mut Vocabulary,
    pub(super) roles: &'n mut Vocabulary,
    /// Whether there is a tenant header.
    pub(super) tenant_header: bool,
    /// The authority, which answers at some paths itself.
    pub(super) authority: Option<&'n Authority>,
    /// Set once it has been reported that there is no issuer.
    pub(super) no_issuer_reported: bool,
}

/// The keys that say who may call.
const WHO: [&str; 5] = ["scopes", "any_scope", "roles", "authenticated", "public"];
/// The keys that need a token.
const OF_TOKENS: [&str; 8] =
    ["scopes", "any_scope", "roles", "authenticated", "token_kinds", "issuers", "clients", "tenant"];

pub(super) fn decode(fields: &Fields<'_>, names: &mut Names<'_, '_>, report: &mut Report<'_>) -> Option<Requirement> {
    let public = report.field(fields, "public", Report::boolean);
    let authenticated = report.field(fields, "authenticated", only_true);
    if public == Some(true) {
        check_alone(fields, "public", &OF_TOKENS, report);
        return Some(Requirement::Public);
    }
    if authenticated.is_some() {
        check_alone(fields, "authenticated", &["scopes", "any_scope", "roles"], report);
    }
    let is_said = WHO.iter().any(|key| fields.may_have(key) && (*key != "public" || public != Some(false)));
    if !is_said {
        report
            .error(fields.place, "the route does not say who may call")
            .expected("expected one of `scopes`, `any_scope`, `roles`, `authenticated: true` or `public: true`");
    }
    let requirement = token_requirement(fields, names, report);
    // What `public` was to say is not known if it could not be read.
    if public.is_some() || !fields.may_have("public") {
        check_issuers(&requirement, fields.place, names, report);
    }
    Some(Requirement::Token(requirement))
}

/// `authenticated: false` could be read as "no token needed", which is not what leaving the key out means.
fn only_true(report: &mut Report<'_>, node: &Node<'_>) -> Option<()> {
    if report.boolean(node)? {
        return Some(());
    }
    report
        .error(node.place, "`authenticated` can only be `true`")
        .hint("a route for anybody is `public: true`; otherwise leave the key out");
    None
}

fn check_alone(fields: &Fields<'_>, key: &'static str, others: &[&'static str], report: &mut Report<'_>) {
    let Some(place) = fields.key_place(key) else { return };
    for other in others.iter().filter(|other| **other != key) {
        if let Some(other_place) = fields.key_place(other) {
            report
                .error(other_place, format!("`{other}` contradicts `{key}: true`"))
                .related(place, "which stands here")
                .hint("keep one of the two");
        }
    }
}

fn token_requirement(fields: &Fields<'_>, names: &mut Names<'_, '_>, report: &mut Report<'_>) -> TokenRequirement {
    let scopes = report.field(fields, "scopes", |report, node| scope_ids(node, names, report));
    let any_scope = report.field(fields, "any_scope", |report, node| scope_ids(node, names, report));
    let roles = report.field(fields, "roles", |report, node| {
        report.list_of(node, "a list of roles", |report, item| {
            report.parsed(item, "a role", role_name).map(|role| names.roles.intern(&role))
        })
    });
    let issuers = report.field(fields, "issuers", |report, node| {
        report.list_of(node, "a list of issuers' names", |report, item| names.issuers.named(report, item))
    });
    let clients =
        report.field(fields, "clients", |report, node| issuer::claim_values(report, node, "a list of client ids"));
    let token_kinds = report.field(fields, "token_kinds", issuer::kinds);
    if let Some(place) = fields.key_place("token_kinds").filter(|_| token_kinds.is_some_and(|kinds| kinds.user)) {
        report.warn(place, "`token_kinds` with `user`: a user's login opens this route");
    }
    TokenRequirement {
        scopes: scopes.unwrap_or_default(),
        any_scope: any_scope.unwrap_or_default(),
        roles: roles.unwrap_or_default().into(),
        token_kinds,
        issuers: issuers.map(Into::into),
        clients: clients.map(|clients| clients.into_iter().collect()),
        tenant_required: tenant_required(fields, names, report),
    }
}

fn scope_ids(node: &Node<'_>, names: &mut Names<'_, '_>, report: &mut Report<'_>) -> Option<Box<[NameId]>> {
    let ids = report.list_of(node, "a list of scopes", |report, item| {
        let scope = report.parsed(item, "a scope", scalar::scope)?;
        if let Some(prefix) = names.issuers.prefix_of(&scope) {
            let text =
                "is an issuer's `scope_prefix`, which is taken off before scopes are compared: write scopes without";
            report.warn(item.place, format!("`{prefix}` {text}"));
        }
        Some(names.scopes.intern(&scope))
    });
    ids.map(Into::into)
}

fn tenant_required(fields: &Fields<'_>, names: &Names<'_, '_>, report: &mut Report<'_>) -> Option<bool> {
    let node = fields.get("tenant")?;
    let required = report.word(node, &[("required", true), ("optional", false)]);
    if required.is_some() && !names.tenant_header {
        report
            .error(node.place, "there is no tenant header that this could be about")
            .hint("name it in `identity.tenant.header`");
    }
    required
}

/// Some issuer has to be there, or nobody could call.
fn check_issuers(requirement: &TokenRequirement, place: Place, names: &mut Names<'_, '_>, report: &mut Report<'_>) {
    if requirement.issuers.is_none() {
        names.issuers.use_all();
    }
    if names.issuers.is_missing() && !names.no_issuer_reported {
        names.no_issuer_reported = true;
        report
            .error(place, "the route needs a token, and there is nobody whose tokens are trusted")
            .expected("expected a section `issuers` or `authority`");
    }
}
