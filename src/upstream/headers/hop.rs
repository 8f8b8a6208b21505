//! Hop-by-hop fields: what concerns one connection and must not reach the next (RFC 9110 section 7.6.1).

use http::header::{self, HeaderMap, HeaderName};

use crate::core::fields::{Fields, Lines};

/// The hop-by-hop fields beside `Connection`, which is looked at first, and `TE`, of which a part may stay.
///
/// `Proxy` is no header of HTTP: CGI makes the variable `HTTP_PROXY` of it, which many programs obey ("httpoxy").
pub(super) const HOP_BY_HOP: [&str; 8] = [
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "proxy",
];

/// Whether a name is one of [`HOP_BY_HOP`], `Connection` or `TE`: by its length first, which is enough for nearly all.
fn is_hop_by_hop(name: &[u8]) -> bool {
    match name.len() {
        2 => name == b"te",
        5 => name == b"proxy",
        7 => name == b"upgrade",
        10 => matches!(name, b"connection" | b"keep-alive"),
        14 => name == b"http2-settings",
        16 => name == b"proxy-connection",
        17 => name == b"transfer-encoding",
        18 => name == b"proxy-authenticate",
        19 => name == b"proxy-authorization",
        _ => false,
    }
}

/// Fields that `Connection` cannot name away. RFC 9110 section 7.6.1 forbids a sender to name a field that is meant for
/// all recipients; a client that does so wants the backend to see another request than the one that was decided about.
const END_TO_END: [&str; 22] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "age",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "host",
    "location",
    "origin",
    "range",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "vary",
    "via",
    "www-authenticate",
];
const END_TO_END_FAMILIES: [&str; 3] = ["content-", "if-", "access-control-allow-"];

/// What `Connection` names, in lower case. Nearly every message names nothing by it but `keep-alive` or `close`, and then
/// nothing is kept.
pub(super) struct Connection(Vec<HeaderName>);

impl Connection {
    /// That of these fields.
    pub(super) fn of(fields: Fields<'_>) -> Self {
        let mut names = Vec::new();
        for value in fields.all(&header::CONNECTION) {
            if !names_no_field(value) {
                names.extend(options(value).filter_map(|name| HeaderName::from_bytes(name).ok()));
            }
        }
        if names.len() < 2 {
            return Self(names);
        }
        // A client may name thousands, and each of its fields is looked for.
        names.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        names.dedup();
        Self(names)
    }

    /// Whether it names this field, which is in lower case, and may: not one that is meant for all recipients.
    pub(super) fn names(&self, name: &[u8]) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let found = self.0.binary_search_by(|named| named.as_str().as_bytes().cmp(name));
        found.ok().and_then(|at| self.0.get(at)).is_some_and(|named| !is_end_to_end(named.as_str()))
    }
}

/// Whether `Connection` names this option, in any case.
pub fn connection_names<'a>(fields: impl Into<Fields<'a>>, option: &str) -> bool {
    let is_option = |one: &[u8]| one.eq_ignore_ascii_case(option.as_bytes());
    // Nearly always there is just one.
    let names = |value: &[u8]| is_option(value) || (value.contains(&b',') && options(value).any(is_option));
    fields.into().all(&header::CONNECTION).any(names)
}

/// Whether it is what nearly every `Connection` says.
fn names_no_field(value: &[u8]) -> bool {
    match value.len() {
        5 => value.eq_ignore_ascii_case(b"close"),
        10 => value.eq_ignore_ascii_case(b"keep-alive"),
        _ => false,
    }
}

fn is_end_to_end(name: &str) -> bool {
    END_TO_END.binary_search(&name).is_ok() || END_TO_END_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1).
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// Whether `TE` says that the client takes trailers (RFC 9110 section 10.1.4). Transfer codings, of which it may say more, are
/// between two hops; this is passed on because it is the client that has to deal with them.
pub(super) fn takes_trailers(fields: Fields<'_>) -> bool {
    fields.all(&header::TE).any(|value| options(value).any(|option| option.eq_ignore_ascii_case(b"trailers")))
}

/// Takes the hop-by-hop fields off a response.
pub fn clean_response(headers: &mut HeaderMap) {
    let connection = Connection::of((&*headers).into());
    let forbidden: Vec<HeaderName> =
        headers.keys().filter(|name| is_of_hop(name.as_str().as_bytes(), &connection)).cloned().collect();
    for name in forbidden {
        headers.remove(name);
    }
}

/// The same where they stand in the bytes that they came in.
pub fn clean_response_lines(lines: &mut Lines) {
    let connection = Connection::of((&*lines).into());
    lines.retain(|name, _| !is_of_hop(name, &connection));
}

fn is_of_hop(name: &[u8], connection: &Connection) -> bool {
    is_hop_by_hop(name) || connection.names(name)
}

/// Takes out of response trailers what must not stand there: framing and hop-by-hop fields (RFC 9110 section 6.5.1).
pub fn clean_response_trailers(trailers: &mut HeaderMap) {
    clean_response(trailers);
    trailers.remove(header::CONTENT_LENGTH);
    trailers.remove(header::TRAILER);
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_taken_out_of_requests_is_taken_out_of_answers() {
        let of_hop = HOP_BY_HOP.iter().chain(&["connection", "te"]);
        of_hop.for_each(|name| assert!(is_hop_by_hop(name.as_bytes()), "{name}"));
        END_TO_END.iter().for_each(|name| assert!(!is_hop_by_hop(name.as_bytes()), "{name}"));
    }

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(END_TO_END.is_sorted());
    }

    #[test]
    fn a_response_loses_what_its_connection_names() {
        let mut response = map(&[
            ("connection", "close, X-Internal"),
            ("connection", "x-more ,, content-length, Set-Cookie"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-internal", "1"),
            ("x-more", "1"),
            ("content-length", "5"),
            ("set-cookie", "a=b"),
            ("trailer", "x-sum"),
        ]);
        clean_response(&mut response);
        let mut left: Vec<&str> = response.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "set-cookie", "trailer"]);
    }

    #[test]
    fn of_te_only_trailers_count() {
        assert!(takes_trailers((&map(&[("te", "gzip;q=0.5"), ("te", "deflate , Trailers")])).into()));
        assert!(!takes_trailers((&map(&[("te", "gzip")])).into()));
        assert!(!takes_trailers((&HeaderMap::new()).into()));
    }
}
