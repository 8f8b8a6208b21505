//! Which scopes and roles a token grants.

use super::json::{Json, Object};
use super::names::Names;
use super::registration::Entry;
use super::scope::{Granted, NameList, Vocabulary};
use super::snapshot::{ClaimRef, Issuer, Snapshot};

/// Scopes and roles of a token: all names for those who are told of them, and the numbers of those that a route can ask
/// for.
#[derive(Debug, Default)]
pub(super) struct Grant {
    /// Scopes without the issuer's prefix, then those of the roles; of clients that are registered, those that they have.
    pub(super) scope_names: NameList,
    /// Roles, each followed by those that it includes, likewise.
    pub(super) role_names: NameList,
    /// The scopes that the configuration mentions.
    pub(super) scopes: Granted,
    /// The roles that the configuration mentions.
    pub(super) roles: Granted,
    /// Whether the token names any scope, counted or not.
    pub(super) names_scope: bool,
}

impl Grant {
    /// What the claims of a token grant, as far as its client has it now.
    pub(super) fn read(snapshot: &Snapshot, issuer: &Issuer, claims: &Object<'_>, entry: Entry<'_>) -> Self {
        let claimed_scopes = names(ClaimRef::first(&issuer.claims.scopes, claims));
        let claimed_roles = names(ClaimRef::first(&issuer.claims.roles, claims));
        let names_scope = !claimed_scopes.is_empty();

        let unprefixed = claimed_scopes.into_iter().filter_map(|name| name.strip_prefix(&*issuer.scope_prefix));
        let (mut scopes, mut roles) = effective(snapshot, unprefixed, claimed_roles.into_iter());
        if let Some((had_scopes, had_roles)) = had(snapshot, entry) {
            scopes.keep(&had_scopes);
            roles.keep(&had_roles);
        }
        Self {
            scopes: numbers(&scopes, &snapshot.scopes),
            roles: numbers(&roles, &snapshot.role_names),
            scope_names: NameList::new(scopes.as_slice()),
            role_names: NameList::new(roles.as_slice()),
            names_scope,
        }
    }
}

/// The scopes and roles that the client has now; `None` where nobody registers clients.
fn had<'a>(snapshot: &'a Snapshot, entry: Entry<'a>) -> Option<(Names<'a>, Names<'a>)> {
    let names = |names: &'a [Box<str>]| names.iter().map(|name| &**name);
    match entry {
        Entry::NotKept => None,
        Entry::Absent => Some(Default::default()),
        Entry::Present(client) => Some(effective(snapshot, names(&client.scopes), names(&client.roles))),
    }
}

/// These scopes, and these roles with all that they stand for.
fn effective<'a>(
    snapshot: &'a Snapshot,
    own_scopes: impl Iterator<Item = &'a str>,
    own_roles: impl Iterator<Item = &'a str>,
) -> (Names<'a>, Names<'a>) {
    let (mut scopes, mut roles) = (Names::default(), Names::default());
    own_scopes.for_each(|name| scopes.add(name));
    for name in own_roles {
        roles.add(name);
        let Some(role) = snapshot.roles.get(name) else { continue };
        role.includes.iter().for_each(|included| roles.add(included));
        role.scopes.iter().for_each(|scope| scopes.add(scope));
    }
    (scopes, roles)
}

/// The names in a claim: a string's, parted by spaces (RFC 6749 section 3.3), or an array's strings. An array element
/// with a space in it is not several names and not one either: whoever joins and splits the list again would read other
/// names than were granted. A claim of any other shape names nothing.
fn names<'a>(claim: Option<&'a Json<'_>>) -> Vec<&'a str> {
    match claim {
        Some(Json::String(text)) => text.split(' ').filter(|name| !name.is_empty()).collect(),
        Some(Json::Array(elements)) => {
            elements.iter().filter_map(Json::as_str).filter(|name| is_one_name(name)).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether a list element is one name, and stays one when the list is joined by spaces.
pub(super) fn is_one_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(char::is_whitespace)
}

fn numbers(names: &Names<'_>, vocabulary: &Vocabulary) -> Granted {
    names.as_slice().iter().filter_map(|name| vocabulary.id(name)).collect()
}
