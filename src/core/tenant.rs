//! The tenant of a request: on whose behalf it is.

use std::borrow::Cow;

use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::claims::Principal;
use super::fields::{Fields, Occurs};
use super::identity;
use super::json::{Json, Object};
use super::names::Names;
use super::registration::Entry;
use super::rejection::{Reason, Rejection};
use super::snapshot::{Issuer, Snapshot, TokenRequirement};

/// Longest tenant in bytes.
const TENANT_BYTES_MAX: usize = 256;

/// The tenants that a token speaks for, as it claims them: what is left of them where its client is held to some.
#[derive(Debug)]
pub(super) struct Claimed {
    names: Vec<Box<str>>,
    bounds: Bounds,
}

/// The tenants that a token speaks for, ready to be told to a backend.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    all: SmallVec<[Tenant; 1]>,
    bounds: Bounds,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    /// Whether the claim holds a tenant that no header can carry.
    unusable: bool,
    /// Whether the issuer may speak for some tenants only.
    fenced: bool,
    /// Whether token or client is held to certain tenants, even if there is none of them left.
    restricted: bool,
    /// Whether none is left of those that token or client is held to, because they have none in common.
    stripped: bool,
}

/// One of a principal's tenants, by its place among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantId(u32);

#[derive(Debug)]
struct Tenant {
    value: HeaderValue,
    /// Whether the issuer may not speak for it.
    fenced_off: bool,
}

impl Claimed {
    /// The tenants in the claims of a token of this issuer. A claim that is neither string nor integer nor an array of
    /// these names no tenant at all, and neither does one with such an element: what cannot be read whole is not half
    /// believed. Where clients are registered, of the tenants that the token claims only those count that its client has now;
    /// a fixed tenant is the operator's word on both.
    pub(super) fn read(issuer: &Issuer, claims: &Object<'_>, entry: Entry<'_>) -> Self {
        if let Some(fixed) = &issuer.fixed_tenant {
            let mut fixed = Self::named_in(issuer, &[Cow::Borrowed(&**fixed)]);
            fixed.bounds.restricted = true;
            return fixed;
        }
        let claim = issuer.claims.tenant.find(claims);
        let claimed = Self::named_in(issuer, &claim.and_then(names).unwrap_or_default());
        claimed.held_by(claim.is_some(), entry)
    }

    fn named_in(issuer: &Issuer, names: &[Cow<'_, str>]) -> Self {
        let mut distinct = Names::default();
        names.iter().for_each(|name| distinct.add(name));
        let unusable = !distinct.as_slice().iter().all(|name| is_usable(name));
        let usable = distinct.as_slice().iter().filter(|_| !unusable);
        let bounds = Bounds { unusable, fenced: issuer.tenants.is_some(), ..Bounds::default() };
        Self { names: usable.map(|name| Box::from(*name)).collect(), bounds }
    }

    /// Those of them that the client has. A token without tenant of a client with tenants has none of them: it was issued
    /// before the client was held to them.
    fn held_by(mut self, is_claimed: bool, entry: Entry<'_>) -> Self {
        let had: &[Box<str>] = match entry {
            Entry::NotKept => {
                self.bounds.restricted = is_claimed;
                return self;
            }
            Entry::Absent => &[],
            Entry::Present(client) => &client.tenants,
        };
        self.names.retain(|name| had.contains(name));
        self.bounds.restricted = is_claimed || !had.is_empty();
        self.bounds.stripped = self.bounds.restricted && self.names.is_empty();
        self
    }

    /// The texts of the values that [`Self::ready`] takes.
    pub(super) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    /// The tenants with these values, one for each of the names.
    pub(super) fn ready(self, issuer: &Issuer, values: impl IntoIterator<Item = Option<HeaderValue>>) -> Tenants {
        let is_fenced_off = |name| issuer.tenants.as_ref().is_some_and(|fence| !fence.contains(name));
        let pairs = self.names.iter().zip(values);
        let tenants = pairs.map(|(name, value)| Some(Tenant { value: value?, fenced_off: is_fenced_off(name) }));
        let all: Option<SmallVec<_>> = tenants.collect();
        let unusable = self.bounds.unusable || all.is_none();
        let mut all = all.unwrap_or_default();
        // It is remembered, and has grown step by step.
        all.shrink_to_fit();
        Tenants { all, bounds: Bounds { unusable, ..self.bounds } }
    }
}

impl Tenants {
    /// The tenants that count; `None` if neither token nor client is held to any.
    pub(super) fn names(&self) -> Option<Vec<&str>> {
        let usable = self.all.iter().filter(|tenant| !tenant.fenced_off);
        let names = || usable.filter_map(|tenant| std::str::from_utf8(tenant.value.as_bytes()).ok()).collect();
        (self.bounds.restricted || self.bounds.fenced).then(names)
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.all.iter().map(|tenant| tenant.value.len() + size_of_val(tenant)).sum()
    }

    /// What the backend is told of one of them.
    pub(super) fn value(&self, id: TenantId) -> Option<&HeaderValue> {
        self.get(id).map(|tenant| &tenant.value)
    }

    fn get(&self, id: TenantId) -> Option<&Tenant> {
        self.all.get(id.0 as usize)
    }

    fn named(&self, name: &[u8]) -> Option<TenantId> {
        let mut ids = (0..).map(TenantId).zip(&self.all);
        ids.find(|(_, tenant)| tenant.value.as_bytes() == name).map(|(id, _)| id)
    }

    /// A token that speaks for a tenant outside its issuer's fence is refused, unless the request settled on one inside.
    fn check_fence(&self) -> Result<(), Rejection> {
        self.check_usable(self.bounds.fenced)?;
        self.all.iter().try_for_each(Tenant::check_fence)
    }

    fn check_usable(&self, matters: bool) -> Result<(), Rejection> {
        match matters && self.bounds.unusable {
            true => Err(forbidden("a tenant of the token is too long, or has control characters or outer spaces")),
            false => Ok(()),
        }
    }
}

/// Whether a header can carry this tenant.
fn is_usable(name: &str) -> bool {
    name.len() <= TENANT_BYTES_MAX && identity::arrives_as_sent(name)
}

impl Tenant {
    fn check_fence(&self) -> Result<(), Rejection> {
        match self.fenced_off {
            true => Err(forbidden("the issuer may not speak for the tenant")),
            false => Ok(()),
        }
    }
}

/// The tenant of this request.
///
/// # Errors
/// `tenant_missing`, `tenant_forbidden`, and `request_malformed` for a tenant header twice where one is chosen by it.
pub fn settle(
    snapshot: &Snapshot,
    requirement: &TokenRequirement,
    principal: &Principal,
    headers: Fields<'_>,
) -> Result<Option<TenantId>, Rejection> {
    let tenants = &principal.tenants;
    let Some(rule) = &snapshot.identity.tenant else {
        tenants.check_fence()?;
        // The configuration does not let a route ask for a tenant that nobody could be told of.
        return if requirement.tenant_required == Some(true) { Err(missing()) } else { Ok(None) };
    };
    let asked = if rule.select { asked(headers, &rule.header)? } else { None };
    tenants.check_usable(true)?;
    let required = requirement.tenant_required.unwrap_or(rule.required);
    let chosen = choose(tenants, asked, rule.select, required)?;
    match chosen.and_then(|id| tenants.get(id)) {
        Some(tenant) => tenant.check_fence(),
        None => tenants.check_fence(),
    }?;
    Ok(chosen)
}

fn choose(
    tenants: &Tenants,
    asked: Option<&[u8]>,
    select: bool,
    required: bool,
) -> Result<Option<TenantId>, Rejection> {
    match (&*tenants.all, asked) {
        // Whoever is held to tenants must not pass for somebody who is not.
        ([], _) if tenants.bounds.stripped => Err(Rejection::new(
            Reason::TenantMissing,
            "none is left of the tenants that the token and its client are held to",
        )),
        ([], _) if required => Err(missing()),
        (_, Some(name)) => match tenants.named(name) {
            Some(id) => Ok(Some(id)),
            None => Err(forbidden("the request names a tenant that the token does not list")),
        },
        ([], None) => Ok(None),
        ([_], None) => Ok(Some(TenantId(0))),
        (_, None) if !select => Err(forbidden("the token lists several tenants and none can be selected")),
        (_, None) if required => {
            Err(Rejection::new(Reason::TenantMissing, "the token lists several tenants and the request names none"))
        }
        (_, None) => Ok(None),
    }
}

/// The tenant that the client asks for. An empty header asks for none.
fn asked<'a>(headers: Fields<'a>, name: &HeaderName) -> Result<Option<&'a [u8]>, Rejection> {
    match headers.occurs(name) {
        Occurs::Never | Occurs::Once(b"") => Ok(None),
        Occurs::Once(value) => Ok(Some(value)),
        Occurs::Again => Err(Rejection::new(Reason::RequestMalformed, "the request names two tenants")),
    }
}

fn names<'a>(claim: &'a Json<'_>) -> Option<Vec<Cow<'a, str>>> {
    match claim {
        Json::Array(elements) => elements.iter().map(name).collect(),
        single => Some(vec![name(single)?]),
    }
}

fn name<'a>(claim: &'a Json<'_>) -> Option<Cow<'a, str>> {
    match claim {
        Json::String(name) => Some(Cow::Borrowed(name)),
        Json::Integer(number) => Some(number.to_string().into()),
        Json::Null | Json::Bool(_) | Json::Float(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

fn missing() -> Rejection {
    Rejection::new(Reason::TenantMissing, "the token names no tenant")
}

fn forbidden(detail: &'static str) -> Rejection {
    Rejection::new(Reason::TenantForbidden, detail)
}
