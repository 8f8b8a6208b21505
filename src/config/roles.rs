//! `roles`: what each role stands for, with `includes` followed to its end.

use std::collections::{HashMap, HashSet};

use crate::core::scope::Role;

use super::decode::Fields;
use super::report::Report;
use super::scalar;
use super::source::Place;
use super::yaml::{Entry, Node};
use super::{keys, words};

/// Most names that all roles together may come to, once every `includes` is followed. Roles that include each other in
/// long chains would otherwise take memory by the square of their number.
const EXPANDED_MAX: usize = 1_000_000;

/// A role as it is written.
struct Written<'t> {
    place: Place,
    scopes: Vec<Box<str>>,
    includes: Vec<(&'t str, Place)>,
}

pub(super) fn decode<'t>(file: &Fields<'t>, report: &mut Report<'_>) -> HashMap<Box<str>, Role> {
    let entries = report.field(file, "roles", |report, node| report.entries(node, "a mapping of roles by their names"));
    let written: HashMap<&str, Written<'t>> =
        entries.unwrap_or_default().iter().filter_map(|entry| role(entry, report)).collect();
    check_names(&written, report);
    expand(&written, report)
}

fn role<'t>(entry: &'t Entry<'t>, report: &mut Report<'_>) -> Option<(&'t str, Written<'t>)> {
    if entry.key.broken {
        return None;
    }
    let place = entry.key.place;
    if let Err(flaw) = role_name(&entry.key.text) {
        report.error(place, flaw.message);
    }
    let fields = report.fields(&entry.value, &keys::ROLE)?;
    let scopes = report.field(&fields, "scopes", scopes).unwrap_or_default();
    let includes = report.field(&fields, "includes", |report, node| {
        report.list_of(node, "a list of roles", |report, item| Some((report.text(item, "a role")?, item.place)))
    });
    if fields.get("scopes").is_none() && fields.get("includes").is_none() {
        report.error(fields.place, "the role grants nothing").expected("expected `scopes`, `includes` or both");
    }
    Some((&entry.key.text, Written { place, scopes, includes: includes.unwrap_or_default() }))
}

/// A list of scopes, as the value of a key.
pub(super) fn scopes(report: &mut Report<'_>, node: &Node<'_>) -> Option<Vec<Box<str>>> {
    report.list_of(node, "a list of scopes", |report, item| report.parsed(item, "a scope", scalar::scope))
}

/// A role's name is an element of a claim: with a space in it, it would never be granted.
pub(super) fn role_name(text: &str) -> Result<Box<str>, scalar::Flaw> {
    scalar::name(text)
}

fn check_names(roles: &HashMap<&str, Written<'_>>, report: &mut Report<'_>) {
    for (name, place) in roles.values().flat_map(|role| &role.includes) {
        if !roles.contains_key(name) {
            let message = format!("no role is called `{}`", words::shown(name));
            report.unknown_word(*place, message, name, roles.keys().copied());
        }
    }
}

fn expand(roles: &HashMap<&str, Written<'_>>, report: &mut Report<'_>) -> HashMap<Box<str>, Role> {
    let mut expanded = HashMap::with_capacity(roles.len());
    let mut total = 0;
    for (name, written) in roles {
        let includes = included(name, roles, report);
        let scopes = includes.iter().filter_map(|name| roles.get(name)).chain([written]).flat_map(|role| &role.scopes);
        let unique: HashSet<&str> = scopes.map(|scope| &**scope).collect();
        total += includes.len() + unique.len();
        if total > EXPANDED_MAX {
            report.error(
                written.place,
                format!("with all they include, the roles come to more than {EXPANDED_MAX} names"),
            );
            break;
        }
        expanded.insert(Box::from(*name), Role { includes: sorted(includes), scopes: sorted(unique) });
    }
    expanded
}

/// In a fixed order, so that two loads of one file are the same.
fn sorted<'t>(names: impl IntoIterator<Item = &'t str>) -> Box<[Box<str>]> {
    let mut names: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
    names.sort_unstable();
    names.into()
}

/// Every role that `start` includes, itself not among them. A cycle is reported once: at the first of its roles.
fn included<'t>(start: &'t str, roles: &HashMap<&'t str, Written<'t>>, report: &mut Report<'_>) -> HashSet<&'t str> {
    let mut came_from: HashMap<&str, &str> = HashMap::new();
    let mut open = vec![start];
    while let Some(name) = open.pop() {
        let Some(role) = roles.get(name) else { continue };
        for (next, place) in &role.includes {
            if *next == start {
                report_cycle(start, name, *place, &came_from, roles, report);
            } else if roles.contains_key(next) && !came_from.contains_key(next) {
                came_from.insert(next, name);
                open.push(next);
            }
        }
    }
    came_from.into_keys().collect()
}

fn report_cycle(
    start: &str,
    last: &str,
    place: Place,
    came_from: &HashMap<&str, &str>,
    roles: &HashMap<&str, Written<'_>>,
    report: &mut Report<'_>,
) {
    let mut cycle = vec![start];
    let mut name = last;
    while name != start {
        cycle.push(name);
        let Some(before) = came_from.get(name) else { break };
        name = before;
    }
    let first = cycle.iter().filter_map(|name| roles.get(name)).map(|role| role.place).min();
    if first != roles.get(start).map(|role| role.place) {
        return;
    }
    cycle.push(start);
    let path: Vec<_> = cycle.iter().rev().map(|name| words::shown(name)).collect();
    report.error(place, format!("roles include each other in a circle: {}", path.join(" -> ")));
}
