//! What a token request asks for, and what of it is granted (RFC 6749 sections 3.3 and 4.4, RFC 8707). Pure.

use std::collections::{BTreeSet, HashMap};

use super::client::Client;
use super::credentials::ClientCredentials;
use super::error::{ErrorCode, OAuthError};
use super::form::{Form, Request};
use crate::config::authority::Authority;
use crate::core::scope::Role;

/// What scopes of our own begin with: those that open the authority itself.
const CONTROL: &str = "sidegate.";

/// A token request that is well formed.
pub struct TokenRequest {
    /// Who asks.
    pub credentials: ClientCredentials,
    /// Which scopes, as on the wire; `None` for all there are.
    pub scopes: Option<BTreeSet<Box<str>>>,
    /// For which resources; none for whichever the scopes are of.
    pub resources: Vec<Box<str>>,
}

/// What is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Scopes, without the authority's prefix, sorted.
    pub scopes: Vec<Box<str>>,
    /// Roles all of whose scopes are granted.
    pub roles: Vec<Box<str>>,
    /// `aud`; at least one.
    pub audiences: Vec<Box<str>>,
}

impl TokenRequest {
    /// Reads a token request.
    ///
    /// # Errors
    /// Those of RFC 6749 section 5.2.
    pub fn read(request: &Request<'_>) -> Result<Self, OAuthError> {
        let form = Form::read(request)?;
        match form.get("grant_type") {
            Some("client_credentials") => {}
            Some(_) => {
                let description = "the only grant type is client_credentials";
                return Err(OAuthError::new(ErrorCode::UnsupportedGrantType, description));
            }
            None => return Err(OAuthError::request("grant_type is missing")),
        }
        Ok(Self {
            credentials: ClientCredentials::read(request.headers, &form)?,
            scopes: form.get("scope").map(scope_tokens).transpose()?,
            resources: form.all("resource").map(Box::from).collect(),
        })
    }
}

impl Grant {
    /// What `client` is granted of what it asks for.
    ///
    /// # Errors
    /// `invalid_scope` for a scope that it does not have, `invalid_target` for a resource that its token would not be for.
    pub fn new(
        client: &Client,
        scopes: Option<&BTreeSet<Box<str>>>,
        resources: &[Box<str>],
        settings: &Authority,
        roles: &HashMap<Box<str>, Role>,
    ) -> Result<Self, OAuthError> {
        const INVALID_TARGET: OAuthError =
            OAuthError::new(ErrorCode::InvalidTarget, "tokens are not issued for a resource that was asked for");
        if !resources.iter().all(|resource| *resource == settings.audience || *resource == settings.issuer) {
            return Err(INVALID_TARGET);
        }
        let is_for = |scope: &str| {
            resources.is_empty() || resources.iter().any(|resource| **resource == *audience(scope, settings))
        };
        let effective = effective_scopes(client, roles);
        let granted = match scopes {
            None => effective.into_iter().filter(|scope| is_for(scope)).collect(),
            Some(asked) => asked_of(asked, &effective, settings)?,
        };
        let audiences = audiences(&granted, settings);
        if !resources.is_empty() && !audiences.iter().all(|audience| resources.contains(audience)) {
            return Err(INVALID_TARGET);
        }
        Ok(Self {
            roles: whole_roles(client, &granted, roles),
            scopes: granted.into_iter().map(Box::from).collect(),
            audiences,
        })
    }
}

/// The scopes of a client and of its roles. A role that the configuration does not have any more stands for nothing.
#[must_use]
pub fn effective_scopes<'a>(client: &'a Client, roles: &'a HashMap<Box<str>, Role>) -> BTreeSet<&'a str> {
    let of_roles = client.roles.iter().filter_map(|role| roles.get(role)).flat_map(|role| &role.scopes);
    client.scopes.iter().chain(of_roles).map(|scope| &**scope).collect()
}

/// `scope-token *( SP scope-token )` (RFC 6749 section 3.3).
fn scope_tokens(text: &str) -> Result<BTreeSet<Box<str>>, OAuthError> {
    let is_token = |token: &str| !token.is_empty() && token.bytes().all(is_nqchar);
    match text.split(' ').all(is_token) {
        true => Ok(text.split(' ').map(Box::from).collect()),
        false => {
            Err(OAuthError::new(ErrorCode::InvalidScope, "scope is not a list of names, parted by one space each"))
        }
    }
}

/// `NQCHAR` (RFC 6749 appendix A).
const fn is_nqchar(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E)
}

fn asked_of<'a>(
    asked: &BTreeSet<Box<str>>,
    effective: &BTreeSet<&'a str>,
    settings: &Authority,
) -> Result<BTreeSet<&'a str>, OAuthError> {
    let found = |scope: &str| effective.get(scope.strip_prefix(&*settings.scope_prefix)?).copied();
    let granted: Option<_> = asked.iter().map(|scope| found(scope)).collect();
    granted.ok_or(OAuthError::new(ErrorCode::InvalidScope, "the client does not have a scope that it asks for"))
}

/// Whom a scope is for.
fn audience<'a>(scope: &str, settings: &'a Authority) -> &'a str {
    if scope.starts_with(CONTROL) { &settings.issuer } else { &settings.audience }
}

fn audiences(granted: &BTreeSet<&str>, settings: &Authority) -> Vec<Box<str>> {
    let is_control = |scope: &&str| scope.starts_with(CONTROL);
    let ordinary = granted.is_empty() || !granted.iter().all(is_control);
    let control = granted.iter().any(is_control);
    let mut audiences = Vec::new();
    if ordinary {
        audiences.push(settings.audience.clone());
    }
    if control && !audiences.contains(&settings.issuer) {
        audiences.push(settings.issuer.clone());
    }
    audiences
}

/// The roles of a client all of whose scopes are granted: a token with fewer scopes than a role stands for is not to carry
/// the role, which would give them back.
fn whole_roles(client: &Client, granted: &BTreeSet<&str>, roles: &HashMap<Box<str>, Role>) -> Vec<Box<str>> {
    let is_whole =
        |name: &str| roles.get(name).is_some_and(|role| role.scopes.iter().all(|scope| granted.contains(&**scope)));
    client.roles.iter().filter(|name| is_whole(name)).cloned().collect()
}
