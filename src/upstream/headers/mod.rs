//! Which header fields a backend sees. Pure functions: this is where a client's word is told from ours.
//!
//! The order is what makes it safe. First everything goes that a client may not say, in every spelling that a backend
//! could fold into it; then what `Connection` names, which cannot be one of ours because ours are not there yet; and only
//! then ours are set.

mod hop;
mod names;

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use self::names::{Class, NameTable};
use crate::core::decision::Permit;
use crate::core::rejection::{Reason, Rejection};
use crate::core::snapshot::{Authorization, Identity};

pub use self::hop::{clean_response, clean_response_trailers, connection_names};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields by which a request claims to be another one: a permit for one method and path must not be read as another.
const OVERRIDES: [&str; 5] =
    ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"];

/// Families of fields that only a proxy may speak in. `X-Forwarded-Client-Cert` is one of the first.
const PROXY_FAMILIES: [&[u8]; 2] = [b"x-forwarded-", b"client-cert"];

/// Most fields that [`HeaderPolicy::to_upstream`] adds beside the identity headers.
const ADDED_MAX: usize = 8;

/// What happens to the header fields of every request: made once for each snapshot, used without allocating.
#[derive(Debug)]
pub struct HeaderPolicy {
    names: NameTable,
    tenant: Option<HeaderName>,
    /// The headers of `identity`, the tenant's among them.
    identity: Box<[HeaderName]>,
    authorization: Authorization,
}

/// What is said about the caller: the identity headers, which no client can send.
#[derive(Debug, Clone, Copy, Default)]
pub struct Caller<'a> {
    /// Header and value, without the tenant's.
    pub headers: &'a [(HeaderName, HeaderValue)],
    /// The tenant.
    pub tenant: Option<&'a HeaderValue>,
}

impl<'a> From<&'a Permit> for Caller<'a> {
    fn from(permit: &'a Permit) -> Self {
        let headers = permit.principal().map_or(&[][..], |principal| &principal.headers);
        Self { headers, tenant: permit.tenant() }
    }
}

/// What the front knows of the client.
#[derive(Debug, Clone, Copy)]
pub struct ClientFacts<'a> {
    /// Address of the peer, as [`address_value`] writes it. One for all requests of a connection.
    pub peer: &'a HeaderValue,
    /// Whether the peer is one of `trusted_proxies`.
    pub trusted: bool,
    /// How the client speaks to us.
    pub scheme: Scheme,
    /// The authority of an absolute-form target, which takes the place of `Host` (RFC 9112 section 3.2.2).
    pub authority: Option<&'a str>,
    /// Ours, or the client's where that one was acceptable.
    pub request_id: &'a HeaderValue,
}

/// Scheme of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// An address as it stands in `X-Forwarded-For`: IPv6 without brackets, IPv4 in IPv6 as IPv4.
#[must_use]
pub fn address_value(address: IpAddr) -> HeaderValue {
    // The text of an address has only hex digits, dots and colons: the other arm cannot be reached.
    HeaderValue::try_from(address.to_canonical().to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

impl HeaderPolicy {
    /// The policy for what the backend is told.
    #[must_use]
    pub fn new(identity: &Identity) -> Self {
        let tenant = identity.tenant.as_ref().map(|tenant| tenant.header.clone());
        let mut names = NameTable::default();
        // The first class stands, so an identity header stays protected whatever else its name is.
        let ours: Box<[HeaderName]> = identity.headers.iter().map(|(name, _)| name).chain(&tenant).cloned().collect();
        ours.iter().for_each(|name| names.add(name.as_str(), Class::Protected));
        names.add(X_REQUEST_ID.as_str(), Class::Overwritten);
        OVERRIDES.iter().for_each(|name| names.add(name, Class::Protected));
        ["forwarded", "x-real-ip"].iter().for_each(|name| names.add(name, Class::Proxy));
        hop::HOP_BY_HOP.iter().for_each(|name| names.add(name, Class::HopByHop));
        names.add(header::CONTENT_LENGTH.as_str(), Class::Framing);
        Self { names, tenant, identity: ours, authorization: identity.authorization }
    }

    /// Turns the header fields of a client's request into those of the request to the backend. `Content-Length` is left
    /// as it is; [`super::Upstreams::forward`] settles the framing, and `Host` where `host: upstream` is configured.
    ///
    /// # Errors
    /// `too_large` for more fields than a header map takes, `request_malformed` for an authority that is no field value.
    pub fn to_upstream(
        &self,
        headers: &mut HeaderMap,
        caller: &Caller<'_>,
        client: &ClientFacts<'_>,
    ) -> Result<(), Rejection> {
        let added = ADDED_MAX + self.identity.len();
        headers.try_reserve(added).map_err(|_| Rejection::new(Reason::HeadTooLarge, "too many header fields"))?;

        self.remove_forbidden(headers, client.trusted);
        if headers.contains_key(header::CONNECTION) {
            // Whoever sends TE has to name it, and what becomes of it is settled by itself.
            hop::remove_connection(headers, |name| self.class(name).is_some() || name == b"te");
        }
        hop::reduce_te(headers);
        if self.authorization == Authorization::Remove {
            headers.remove(header::AUTHORIZATION);
        }

        set_host(headers, client)?;
        set_forwarded(headers, client);
        headers.insert(X_REQUEST_ID, client.request_id.clone());
        self.set_identity(headers, caller);
        Ok(())
    }

    /// The identity headers, the request id, and nothing else: what another proxy has to set that forwards the request
    /// itself.
    #[must_use]
    pub fn identity(&self, caller: &Caller<'_>, request_id: &HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.identity.len() + 1);
        headers.insert(X_REQUEST_ID, request_id.clone());
        self.set_identity(&mut headers, caller);
        headers
    }

    /// What such a proxy has to take out. `shown` are the fields of the request as far as it shows them, and `set` those
    /// that it sets, in the place of whatever was there. The identity headers and those that claim to be another request
    /// are named whether they were shown or not. What concerns its own connections is left to the proxy, and so is what a
    /// proxy says of its client, in the spelling of proxies.
    #[must_use]
    pub fn not_to_forward(&self, shown: &HeaderMap, set: &HeaderMap) -> Vec<HeaderName> {
        let odd = shown.keys().filter(|name| self.is_clients_in_odd_spelling(name.as_str().as_bytes())).cloned();
        let always = OVERRIDES.map(HeaderName::from_static);
        let exact = self.identity.iter().filter(|name| !set.contains_key(*name)).cloned().chain(always);
        let underscored = self.identity.iter().filter_map(|name| name.as_str().replace('-', "_").try_into().ok());
        let authorization = (self.authorization == Authorization::Remove).then_some(header::AUTHORIZATION);
        let mut names: Vec<HeaderName> = odd.chain(exact).chain(underscored).chain(authorization).collect();
        names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        names.dedup();
        names.retain(|name| !set.contains_key(name));
        names
    }

    /// A field that no request may have that is forwarded by somebody who cannot be told to take it out: it could be read
    /// as an identity header, or as another request.
    #[must_use]
    pub fn found_in_disguise<'a>(&self, shown: &'a HeaderMap) -> Option<&'a HeaderName> {
        let is_disguised = |name: &&HeaderName| {
            self.class(name.as_str().as_bytes()) == Some(Class::Protected) && !self.identity.contains(name)
        };
        shown.keys().find(is_disguised)
    }

    fn is_clients_in_odd_spelling(&self, name: &[u8]) -> bool {
        match self.class(name) {
            None => false,
            Some(Class::Protected) => true,
            // Not about a connection at all: see `HOP_BY_HOP`.
            Some(Class::HopByHop) if name == b"proxy" => true,
            Some(Class::Overwritten | Class::Framing | Class::Proxy | Class::HopByHop) => !names::is_plain(name),
        }
    }

    /// Takes out of request trailers what must not stand there: everything that is ours or a proxy's to say, framing and
    /// hop-by-hop fields, `Host` and `Authorization` (RFC 9110 section 6.5.1). Not even a trusted proxy says in a trailer
    /// who is calling.
    pub fn clean_trailers(&self, trailers: &mut HeaderMap) {
        const NEVER: [HeaderName; 6] = [
            header::CONNECTION,
            header::TE,
            header::TRAILER,
            header::CONTENT_LENGTH,
            header::HOST,
            header::AUTHORIZATION,
        ];
        let forbidden: Vec<HeaderName> = trailers
            .keys()
            .filter(|name| self.class(name.as_str().as_bytes()).is_some() || NEVER.contains(name))
            .cloned()
            .collect();
        for name in forbidden {
            trailers.remove(name);
        }
    }

    /// The class of a name in whatever spelling; `None` is the client's to say.
    fn class(&self, name: &[u8]) -> Option<Class> {
        self.names.find(name).or_else(|| {
            let proxy = PROXY_FAMILIES.iter().any(|family| names::starts_folded(name, family));
            proxy.then_some(Class::Proxy)
        })
    }

    fn remove_forbidden(&self, headers: &mut HeaderMap, trusted: bool) {
        // Collected first: a header map cannot be changed while it is walked, and starting over after each removal would
        // cost the square of what a client sends. An ordinary request has none and allocates nothing.
        let forbidden: Vec<HeaderName> =
            headers.keys().filter(|name| self.is_forbidden(name.as_str().as_bytes(), trusted)).cloned().collect();
        for name in forbidden {
            headers.remove(name);
        }
    }

    fn is_forbidden(&self, name: &[u8], trusted: bool) -> bool {
        match self.class(name) {
            None => false,
            Some(Class::Protected | Class::HopByHop) => true,
            Some(Class::Overwritten | Class::Framing) => !names::is_plain(name),
            // A proxy writes the plain spelling; any other is its client's and went through unseen.
            Some(Class::Proxy) => !trusted || !names::is_plain(name),
        }
    }

    fn set_identity(&self, headers: &mut HeaderMap, caller: &Caller<'_>) {
        for (name, value) in caller.headers {
            headers.insert(name, value.clone());
        }
        if let (Some(name), Some(value)) = (&self.tenant, caller.tenant) {
            headers.insert(name, value.clone());
        }
    }
}

/// `Host` as the client meant it: that of an absolute-form target before the field.
fn set_host(headers: &mut HeaderMap, client: &ClientFacts<'_>) -> Result<(), Rejection> {
    if let Some(authority) = client.authority {
        let host = HeaderValue::from_str(authority)
            .map_err(|_| Rejection::new(Reason::RequestMalformed, "the target's authority is no field value"))?;
        headers.insert(header::HOST, host);
    }
    Ok(())
}

/// `X-Forwarded-For`, `-Proto` and `-Host`: a trusted proxy's, continued, or else our own.
fn set_forwarded(headers: &mut HeaderMap, client: &ClientFacts<'_>) {
    let list = headers.get_all(X_FORWARDED_FOR).iter();
    let forwarded_for = if client.trusted { continued(list, client.peer) } else { client.peer.clone() };
    headers.insert(X_FORWARDED_FOR, forwarded_for);

    if !(client.trusted && headers.contains_key(X_FORWARDED_PROTO)) {
        let scheme = match client.scheme {
            Scheme::Http => HeaderValue::from_static("http"),
            Scheme::Https => HeaderValue::from_static("https"),
        };
        headers.insert(X_FORWARDED_PROTO, scheme);
    }
    if !(client.trusted && headers.contains_key(X_FORWARDED_HOST)) {
        match headers.get(header::HOST).cloned() {
            Some(host) => drop(headers.insert(X_FORWARDED_HOST, host)),
            None => drop(headers.remove(X_FORWARDED_HOST)),
        }
    }
}

/// A list of addresses, over however many fields it came, with one more.
fn continued<'a>(list: impl Iterator<Item = &'a HeaderValue>, peer: &HeaderValue) -> HeaderValue {
    let mut text = Vec::new();
    for value in list.filter(|value| !value.is_empty()) {
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b", ");
    }
    if text.is_empty() {
        return peer.clone();
    }
    text.extend_from_slice(peer.as_bytes());
    // Joined from field values by a comma: it is one.
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or_else(|_| peer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::snapshot::IdentitySource;

    fn policy(authorization: Authorization) -> HeaderPolicy {
        let headers = [(HeaderName::from_static("x-client-id"), IdentitySource::ClientId)].into();
        HeaderPolicy::new(&Identity { tenant: None, headers, authorization })
    }

    fn map(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1"))).collect()
    }

    #[test]
    fn what_another_proxy_sets_is_not_taken_out_and_everything_else_of_ours_is() {
        let shown =
            map(&["x-client-id", "x_client.id", "x_request_id", "x-forwarded-for", "x_forwarded_for", "proxy", "te"]);
        let names = |authorization, set: &[&'static str]| -> Vec<String> {
            let names = policy(authorization).not_to_forward(&shown, &map(set));
            names.iter().map(|name| name.as_str().to_owned()).filter(|name| !OVERRIDES.contains(&&**name)).collect()
        };
        let odd = ["proxy", "x_client.id", "x_client_id", "x_forwarded_for", "x_request_id"];
        assert_eq!(names(Authorization::Forward, &["x-client-id", "x-request-id"]), odd);
        let all = [&["authorization"], &odd[..1], &["x-client-id"], &odd[1..]].concat();
        assert_eq!(names(Authorization::Remove, &["x-request-id"]), all);
        let nothing_shown = policy(Authorization::Forward).not_to_forward(&HeaderMap::new(), &HeaderMap::new());
        assert!(
            OVERRIDES
                .iter()
                .chain(&["x-client-id", "x_client_id"])
                .all(|name| nothing_shown.iter().any(|it| it == name))
        );
    }

    #[test]
    fn a_disguise_is_any_spelling_but_the_exact_one() {
        let found = |name| policy(Authorization::Forward).found_in_disguise(&map(&[name])).is_some();
        assert!(!found("x-client-id") && !found("x-forwarded-host") && !found("x_forwarded_host") && !found("x-other"));
        assert!(found("x_client_id") && found("x.client.id") && found("x-original-url") && found("x_http_method"));
    }
}
