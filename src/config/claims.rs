//! `issuers[].claims` and `issuers[].client_when`: where tokens say what.

use crate::core::snapshot::{ClaimNames, ClaimRef, ClientWhen};

use super::keys;
use super::report::Report;
use super::scalar::Flaw;
use super::yaml::{Node, Value};

const CLAIM: &str = "a claim: its name, or a JSON Pointer such as /realm_access/roles";

/// Where tokens say what, unless the configuration says otherwise.
pub(super) fn default() -> ClaimNames {
    ClaimNames {
        scopes: names(&["scope", "scp"]),
        roles: names(&["roles"]),
        client_id: names(&["client_id", "azp", "cid", "appid"]),
        tenant: ClaimRef::Name("tenant_id".into()),
    }
}

/// Where the tokens of our own authority say what (RFC 9068 section 2.2).
pub(super) fn of_authority() -> ClaimNames {
    ClaimNames {
        scopes: names(&["scope"]),
        roles: names(&["roles"]),
        client_id: names(&["client_id"]),
        tenant: ClaimRef::Name("tenant_id".into()),
    }
}

fn names(names: &[&str]) -> Box<[ClaimRef]> {
    names.iter().map(|name| ClaimRef::Name((*name).into())).collect()
}

pub(super) fn decode(report: &mut Report<'_>, node: &Node<'_>) -> Option<ClaimNames> {
    let fields = report.fields(node, &keys::CLAIMS)?;
    let default = default();
    let scopes = report.field(&fields, "scopes", claim_list);
    let roles = report.field(&fields, "roles", claim_list);
    let client_id = report.field(&fields, "client_id", claim_list);
    let tenant = report.field(&fields, "tenant", claim);
    Some(ClaimNames {
        scopes: scopes.unwrap_or(default.scopes),
        roles: roles.unwrap_or(default.roles),
        client_id: client_id.unwrap_or(default.client_id),
        tenant: tenant.unwrap_or(default.tenant),
    })
}

/// Whether `claims` says where the tenant is.
pub(super) fn names_tenant(claims: &Node<'_>) -> bool {
    matches!(&claims.value, Value::Map(entries) if entries.iter().any(|entry| entry.key.text == "tenant"))
}

pub(super) fn client_when(report: &mut Report<'_>, node: &Node<'_>) -> Option<ClientWhen> {
    let fields = report.fields(node, &keys::CLIENT_WHEN)?;
    let claim = report.required(&fields, "claim", claim);
    // A number or a boolean is as good as a string: claims are compared by their JSON text.
    let equals = report.required(&fields, "equals", |report, node| {
        report.quantity(node, "the value of the claim", |text| Ok(Box::from(text)))
    });
    Some(ClientWhen { claim: claim?, equals: equals? })
}

fn claim_list(report: &mut Report<'_>, node: &Node<'_>) -> Option<Box<[ClaimRef]>> {
    report.list_of(node, "a list of claims, of which the first one present counts", claim).map(Into::into)
}

fn claim(report: &mut Report<'_>, node: &Node<'_>) -> Option<ClaimRef> {
    report.parsed(node, CLAIM, |text| ClaimRef::parse(text).map_err(|error| Flaw::new(error.to_string())))
}
