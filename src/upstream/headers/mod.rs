//! Which header fields a backend sees. Pure functions: this is where a client's word is told from ours.
//!
//! The order is what makes it safe. First everything goes that a client may not say, in every spelling that a backend
//! could fold into it; then what `Connection` names, which cannot be one of ours because ours are not there yet; and only
//! then ours are set.

mod hop;
mod names;

use std::borrow::Cow;
use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use self::names::{Class, NameTable};
use crate::core::decision::Permit;
use crate::core::fields::{Field, Fields, X_FORWARDED_FOR, X_REQUEST_ID};
use crate::core::rejection::{Reason, Rejection};
use crate::core::snapshot::{Authorization, Identity};

pub use self::hop::{clean_response, clean_response_lines, clean_response_trailers, connection_names};

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Fields by which a request claims to be another one: a permit for one method and path must not be read as another.
const OVERRIDES: [&str; 5] =
    ["x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"];

/// Families of fields that only a proxy may speak in. `X-Forwarded-Client-Cert` is one of the first.
const PROXY_FAMILIES: [&[u8]; 2] = [b"x-forwarded-", b"client-cert"];

/// Most fields that [`HeaderPolicy::map_to_upstream`] adds beside the identity headers.
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
    /// Ours, or the client's where that one was acceptable. Has to be a field value: it is written as it is.
    pub request_id: &'a [u8],
}

/// Scheme of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
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
    pub fn map_to_upstream(
        &self,
        fields: Fields<'_>,
        caller: &Caller<'_>,
        client: &ClientFacts<'_>,
    ) -> Result<HeaderMap, Rejection> {
        let too_many = || Rejection::new(Reason::HeadTooLarge, "too many header fields");
        let expected = fields.len() + ADDED_MAX + self.identity.len();
        let mut map = HeaderMap::try_with_capacity(expected).map_err(|_| too_many())?;
        let mut is_full = false;
        self.write_to_upstream(fields, caller, client, |field| {
            // What a client's field may be, a field may be.
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value)) {
                is_full |= map.try_append(name, value).is_err();
            }
        })?;
        if is_full { Err(too_many()) } else { Ok(map) }
    }

    /// The same, field by field. `Host` comes first, each of ours once, behind all of the client's.
    ///
    /// # Errors
    /// `request_malformed` for an authority that is no field value.
    pub fn write_to_upstream(
        &self,
        fields: Fields<'_>,
        caller: &Caller<'_>,
        client: &ClientFacts<'_>,
        mut put: impl FnMut(Field<'_>),
    ) -> Result<(), Rejection> {
        let host = host(fields, client)?;
        if let Some(host) = host {
            put(Field::new(b"host", host));
        }
        let connection = hop::Connection::of(fields);
        let mut seen = Seen::default();
        fields.for_each(|field| {
            if self.stays(field.name, client, &connection) && !seen.settles(field, client.trusted) {
                put(field);
            }
        });
        if hop::takes_trailers(fields) {
            put(Field::new(b"te", b"trailers"));
            // Whoever sends TE has to name it in Connection.
            put(Field::new(b"connection", b"TE"));
        }
        put_forwarded(client, &seen, host, &mut put);
        put(Field::new(X_REQUEST_ID.as_str().as_bytes(), client.request_id));
        for (name, value) in caller.headers {
            put((name, value).into());
        }
        if let (Some(name), Some(value)) = (&self.tenant, caller.tenant) {
            put((name, value).into());
        }
        Ok(())
    }

    /// Whether a field of the client's goes on to the backend, as it is or as a part of one of ours.
    fn stays(&self, name: &[u8], client: &ClientFacts<'_>, connection: &hop::Connection) -> bool {
        let class = self.class(name);
        let is_forbidden = match class {
            None => false,
            Some(Class::Protected | Class::HopByHop) => true,
            Some(Class::Overwritten | Class::Framing) => !names::is_plain(name),
            // A proxy writes the plain spelling; any other is its client's and went through unseen.
            Some(Class::Proxy) => !client.trusted || !names::is_plain(name),
        };
        let is_taken_out = match name {
            b"connection" | b"te" => true,
            b"authorization" => self.authorization == Authorization::Remove,
            _ => false,
        };
        // What `Connection` names, but none of ours: those are not there yet.
        !(is_forbidden || is_taken_out || (class.is_none() && connection.names(name)))
    }

    /// The identity headers, the request id, and nothing else: what another proxy has to set that forwards the request
    /// itself.
    #[must_use]
    pub fn identity(&self, caller: &Caller<'_>, request_id: HeaderValue) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(self.identity.len() + 1);
        headers.insert(&X_REQUEST_ID, request_id);
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

    fn set_identity(&self, headers: &mut HeaderMap, caller: &Caller<'_>) {
        for (name, value) in caller.headers {
            headers.insert(name, value.clone());
        }
        if let (Some(name), Some(value)) = (&self.tenant, caller.tenant) {
            headers.insert(name, value.clone());
        }
    }
}

/// What was seen of the client's fields that ours are made of.
#[derive(Default)]
struct Seen<'a> {
    /// What proxies have said, if they are trusted.
    forwarded_for: Vec<&'a [u8]>,
    has_proto: bool,
    has_host: bool,
}

impl<'a> Seen<'a> {
    /// Keeps a field that stays if one of ours takes its place; whether it does.
    fn settles(&mut self, field: Field<'a>, trusted: bool) -> bool {
        let Field { name, value, .. } = field;
        match name {
            b"host" | b"x-request-id" => {}
            b"x-forwarded-for" => self.forwarded_for.push(value),
            b"x-forwarded-proto" => self.has_proto = trusted,
            b"x-forwarded-host" => self.has_host = trusted,
            _ => return false,
        }
        !matches!(name, b"x-forwarded-proto" | b"x-forwarded-host")
    }
}

/// `Host` as the client meant it: that of an absolute-form target before the field.
fn host<'a>(fields: Fields<'a>, client: &ClientFacts<'a>) -> Result<Option<&'a [u8]>, Rejection> {
    let Some(authority) = client.authority else { return Ok(fields.all(&header::HOST).next()) };
    match HeaderValue::from_str(authority) {
        Ok(_) => Ok(Some(authority.as_bytes())),
        Err(_) => Err(Rejection::new(Reason::RequestMalformed, "the target's authority is no field value")),
    }
}

/// `X-Forwarded-For`, `-Proto` and `-Host`: a trusted proxy's, continued, or else our own.
fn put_forwarded(client: &ClientFacts<'_>, seen: &Seen<'_>, host: Option<&[u8]>, put: &mut impl FnMut(Field<'_>)) {
    let forwarded_for = continued(&seen.forwarded_for, client.peer.as_bytes());
    put(Field::new(X_FORWARDED_FOR.as_str().as_bytes(), &forwarded_for));
    if !seen.has_proto {
        put(Field::new(X_FORWARDED_PROTO.as_str().as_bytes(), client.scheme.as_str().as_bytes()));
    }
    if let (false, Some(host)) = (seen.has_host, host) {
        put(Field::new(X_FORWARDED_HOST.as_str().as_bytes(), host));
    }
}

/// A list of addresses, over however many fields it came, with one more.
fn continued<'a>(list: &[&[u8]], peer: &'a [u8]) -> Cow<'a, [u8]> {
    let mut text = Vec::new();
    for value in list.iter().filter(|value| !value.is_empty()) {
        text.extend_from_slice(value);
        text.extend_from_slice(b", ");
    }
    if text.is_empty() {
        return Cow::Borrowed(peer);
    }
    text.extend_from_slice(peer);
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;
    use crate::core::snapshot::IdentitySource;
    use crate::net::http1::head;

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

    proptest! {
        #[test]
        fn what_a_backend_sees_does_not_depend_on_where_the_fields_stand(
            lines in prop::collection::vec(
                ("(host|connection|te|x[-_.]client[-_]id|x-forwarded-(for|host|proto)|X_Forwarded_For|x-request-id|x-a|Trailer\
                  |expect|authorization|content.length|keep-alive|upgrade)", "(close|x-a, TE|trailers|1|a b|)"),
                0..12,
            ),
            trusted: bool,
        ) {
            let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let head = head::take(&mut BytesMut::from(&*format!("GET / HTTP/1.1\r\n{text}\r\n")), 1 << 20);
            prop_assume!(matches!(head, Ok(Some(_))));
            let head = head.ok().flatten().unwrap();
            let (peer, request_id) = (HeaderValue::from_static("192.0.2.1"), b"id");
            let client =
                ClientFacts { peer: &peer, trusted, scheme: Scheme::Http, authority: None, request_id };
            let policy = policy(Authorization::Forward);
            let of = |fields| policy.map_to_upstream(fields, &Caller::default(), &client).unwrap();
            let seen = of(head.fields());
            prop_assert_eq!(&seen, &of(head.headers().into()));
            let ours = ["x-client-id", "x_client_id", "x.client.id", "connection"];
            let left = seen.iter().filter(|(name, value)| ours.contains(&name.as_str()) && *value != "TE").count();
            prop_assert_eq!(left, 0, "{:?}", seen);
        }
    }

    #[test]
    fn a_disguise_is_any_spelling_but_the_exact_one() {
        let found = |name| policy(Authorization::Forward).found_in_disguise(&map(&[name])).is_some();
        assert!(!found("x-client-id") && !found("x-forwarded-host") && !found("x_forwarded_host") && !found("x-other"));
        assert!(found("x_client_id") && found("x.client.id") && found("x-original-url") && found("x_http_method"));
    }
}
