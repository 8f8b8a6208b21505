//! Hop-by-hop fields: what concerns one connection and must not reach the next (RFC 9110 section 7.6.1).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

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

/// Takes `Connection` out, and the fields that it names unless they are end-to-end or `keep` says otherwise.
pub(super) fn remove_connection(headers: &mut HeaderMap, keep: impl Fn(&[u8]) -> bool) {
    if names_nothing(headers) {
        headers.remove(header::CONNECTION);
        return;
    }
    let values: Vec<HeaderValue> = headers.get_all(header::CONNECTION).iter().cloned().collect();
    headers.remove(header::CONNECTION);
    for name in values.iter().flat_map(options) {
        // Through `HeaderName`, which is in lower case: `keep` and the lists compare with that.
        if let Ok(name) = HeaderName::from_bytes(name)
            && !is_end_to_end(name.as_str())
            && !keep(name.as_str().as_bytes())
        {
            headers.remove(name);
        }
    }
}

/// Whether `Connection` names this option, in any case.
pub fn connection_names(headers: &HeaderMap, option: &str) -> bool {
    headers.get_all(header::CONNECTION).iter().flat_map(options).any(|one| one.eq_ignore_ascii_case(option.as_bytes()))
}

/// Whether `Connection` is what nearly every client sends: one `keep-alive` or `close`.
fn names_nothing(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONNECTION).iter();
    let first = values.next();
    values.next().is_none()
        && first.is_none_or(|value| {
            value.as_bytes().eq_ignore_ascii_case(b"keep-alive") || value.as_bytes().eq_ignore_ascii_case(b"close")
        })
}

fn is_end_to_end(name: &str) -> bool {
    END_TO_END.binary_search(&name).is_ok() || END_TO_END_FAMILIES.iter().any(|family| name.starts_with(family))
}

/// The elements of a comma-separated list (RFC 9110 section 5.6.1).
pub(super) fn options(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// Reduces `TE` to `trailers`, if the client said so (RFC 9110 section 10.1.4): transfer codings are between two hops,
/// the readiness for trailers is passed on because it is the client that has to deal with them.
pub(super) fn reduce_te(headers: &mut HeaderMap) {
    let mut fields = headers.get_all(header::TE).iter().peekable();
    if fields.peek().is_none() {
        return;
    }
    let trailers = fields.flat_map(options).any(|option| option.eq_ignore_ascii_case(b"trailers"));
    headers.remove(header::TE);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        // Whoever sends TE has to name it in Connection.
        headers.insert(header::CONNECTION, HeaderValue::from_static("TE"));
    }
}

/// Takes the hop-by-hop fields off a response.
pub fn clean_response(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        remove_connection(headers, |_| false);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::TE);
}

/// Takes out of response trailers what must not stand there: framing and hop-by-hop fields (RFC 9110 section 6.5.1).
pub fn clean_response_trailers(trailers: &mut HeaderMap) {
    clean_response(trailers);
    trailers.remove(header::CONTENT_LENGTH);
    trailers.remove(header::TRAILER);
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn te_is_reduced_to_trailers() {
        let mut request = map(&[("te", "gzip;q=0.5"), ("te", "deflate , Trailers")]);
        reduce_te(&mut request);
        assert_eq!(request, map(&[("te", "trailers"), ("connection", "TE")]));
        let mut request = map(&[("te", "gzip")]);
        reduce_te(&mut request);
        assert!(request.is_empty());
    }
}
