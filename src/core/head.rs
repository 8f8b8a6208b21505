//! A request's head as a value: what a decision looks at, whichever front it came in by.

use std::borrow::Cow;

use http::{Method, header};
use memchr::memchr;

use super::fields::{Fields, Occurs};
use super::host::is_host;
use super::rejection::{Reason, Rejection};

/// Method, target and header fields, as the client sent them. Has no `Debug`: the fields hold the token, and the target
/// the query.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method.
    pub method: &'a Method,
    /// The request target (RFC 9112 section 3.2), byte for byte.
    pub target: &'a str,
    /// The header fields.
    pub headers: Fields<'a>,
}

/// The request target, taken apart but not yet understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// Host in lower case, without port and without a trailing dot; empty if the request names none.
    pub host: Cow<'a, str>,
    /// Path as it came, from its first `/` up to the query.
    pub raw_path: &'a str,
    /// Path and query as they came: the origin-form that is forwarded.
    pub origin_form: &'a str,
    /// The authority of an absolute-form target, which takes the place of `Host` (RFC 9112 section 3.2.2).
    pub authority: Option<&'a str>,
}

impl<'a> RequestHead<'a> {
    /// Takes the target apart.
    ///
    /// # Errors
    /// `request_malformed` for a target that is neither in origin-form nor in absolute-form, for `CONNECT`, whose target
    /// has to be in another (RFC 9112 section 3.2.3), for a query that would not reach a backend as it came, for a
    /// `Host` that is no host, and for more than one `Host`.
    pub fn target(&self) -> Result<Target<'a>, Rejection> {
        if *self.method == Method::CONNECT {
            return Err(malformed("CONNECT asks for a tunnel to a host"));
        }
        let (authority, origin_form) = split_authority(self.target)?;
        let host = match authority {
            Some(authority) => Some(authority.as_bytes()),
            None => host_field(self.headers)?,
        };
        let host = host.map_or(Ok(Cow::Borrowed("")), own_host)?;
        // The mark stays with the query, which may have more of them.
        let mark = memchr(b'?', origin_form.as_bytes()).unwrap_or(origin_form.len());
        let (raw_path, query) = origin_form.split_at(mark);
        check_query(query)?;
        Ok(Target { host, raw_path, origin_form, authority })
    }
}

/// The host that a request is for, as [`RequestHead::target`] finds it, if it can be told: for logs.
#[must_use]
pub fn host_name<'a>(target: &'a str, field: Option<&'a [u8]>) -> Option<Cow<'a, str>> {
    let authority = match split_authority(target) {
        Ok((Some(authority), _)) => authority,
        Ok((None, _)) | Err(_) => visible(field?)?,
    };
    normal_host(authority).ok()
}

/// An absolute-form target's authority and the rest; an origin-form target as it is.
///
/// # Errors
/// `request_malformed` for a target in another form (RFC 9112 section 3.2).
pub fn split_authority(target: &str) -> Result<(Option<&str>, &str), Rejection> {
    if target.starts_with('/') {
        return Ok((None, target));
    }
    let rest =
        strip_scheme(target).ok_or_else(|| malformed("the request target is neither a path nor an http(s) URL"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match path.as_bytes().first() {
        None => Ok((Some(authority), "/")),
        Some(b'/') => Ok((Some(authority), path)),
        Some(_) => Err(malformed("the request target has no path")),
    }
}

/// A query is forwarded byte for byte and never looked into. What is refused would not arrive as it came: `#` ends it,
/// and the others are escaped by every client that follows the URL standard and refused by servers that follow RFC 3986.
fn check_query(query: &str) -> Result<(), Rejection> {
    let is_odd = |byte: u8| byte <= b' ' || matches!(byte, b'"' | b'#' | b'<' | b'>' | 0x7f);
    match query.bytes().any(is_odd) {
        true => Err(malformed("a fragment, or a character in the query that has to be percent-encoded")),
        false => Ok(()),
    }
}

fn strip_scheme(target: &str) -> Option<&str> {
    ["http://", "https://"].into_iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

fn host_field(headers: Fields<'_>) -> Result<Option<&[u8]>, Rejection> {
    match headers.occurs(&header::HOST) {
        Occurs::Never => Ok(None),
        Occurs::Once(value) => Ok(Some(value)),
        Occurs::Again => Err(malformed("more than one Host header")),
    }
}

fn own_host(value: &[u8]) -> Result<Cow<'_, str>, Rejection> {
    if let Some(name) = usual_host(value) {
        return Ok(Cow::Borrowed(name));
    }
    normal_host(visible(value).ok_or_else(|| malformed("Host is not ASCII"))?)
}

/// What [`normal_host`] makes of a host that is written as nearly all are, in one pass: the name has to stay as it is.
fn usual_host(value: &[u8]) -> Option<&str> {
    let mut is_label_empty = true;
    let mut rest = value.iter();
    let port = loop {
        is_label_empty = match rest.next() {
            Some(b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_') => false,
            Some(b'.') if !is_label_empty => true,
            Some(b':') => break Some(rest.as_slice()),
            None => break None,
            Some(_) => return None,
        };
    };
    let name = value.get(..value.len() - port.map_or(0, |port| port.len() + 1))?;
    if is_label_empty || !is_port(port.unwrap_or_default()) { None } else { std::str::from_utf8(name).ok() }
}

/// A field value as text, if it is visible ASCII.
fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    if value.iter().all(is_visible) { std::str::from_utf8(value).ok() } else { None }
}

/// `Host` without port and trailing dot, in lower case. Allocates only where a letter has to change.
///
/// RFC 3986 section 3.2.2 allows more signs in a name than names have, percent escapes among them. Some backends decode
/// them or take a name apart at them, and would be asked for a host whose routes were passed by.
fn normal_host(host: &str) -> Result<Cow<'_, str>, Rejection> {
    let name = strip_port(host).map(|name| name.strip_suffix('.').unwrap_or(name)).filter(|name| is_host(name));
    let name = name.ok_or_else(|| malformed("Host is no host name with an optional port"))?;
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

fn strip_port(host: &str) -> Option<&str> {
    let (name, port) = if host.starts_with('[') {
        let (name, rest) = host.split_at(host.find(']')? + 1);
        (name, rest.strip_prefix(':').or(rest.is_empty().then_some(""))?)
    } else {
        let (name, port) = host.split_at(memchr(b':', host.as_bytes()).unwrap_or(host.len()));
        (name, port.strip_prefix(':').unwrap_or_default())
    };
    is_port(port.as_bytes()).then_some(name)
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5 && port.iter().all(u8::is_ascii_digit)
}

fn malformed(detail: &'static str) -> Rejection {
    Rejection::new(Reason::RequestMalformed, detail)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use super::*;

    fn target<'a>(target: &'a str, headers: &'a HeaderMap) -> Result<Target<'a>, Rejection> {
        RequestHead { method: &Method::GET, target, headers: headers.into() }.target()
    }

    #[test]
    fn origin_form_takes_its_host_from_the_field() {
        let headers = HeaderMap::from_iter([(header::HOST, "Files.Example.COM.:8080".parse().unwrap())]);
        let target = target("/a/b?c=/d", &headers).unwrap();
        assert_eq!((&*target.host, target.raw_path, target.origin_form), ("files.example.com", "/a/b", "/a/b?c=/d"));
        assert_eq!(target.authority, None);
    }

    #[test]
    fn absolute_form_overrides_the_field() {
        let headers = HeaderMap::from_iter([(header::HOST, "other".parse().unwrap())]);
        let target = target("HTTP://a.example:1/p?q", &headers).unwrap();
        assert_eq!((&*target.host, target.origin_form, target.authority), ("a.example", "/p?q", Some("a.example:1")));
    }

    #[test]
    fn odd_targets_are_refused() {
        let none = HeaderMap::new();
        for odd in
            ["*", "example.com:443", "", "ftp://h/", "http://h?x", "http:///x", "http://u@h/", "a/b", "http://a[b/"]
        {
            assert_eq!(target(odd, &none).unwrap_err().reason, Reason::RequestMalformed, "{odd}");
        }
        assert_eq!(target("http://h", &none).unwrap().origin_form, "/");
    }

    #[test]
    fn a_query_that_would_not_arrive_as_it_came_is_refused() {
        let none = HeaderMap::new();
        for query in ["", "?", "a=b&c", "a=/../..//%2e;", "%zz", "q={[`|^\\]}'", "ü"] {
            assert!(target(&format!("/a?{query}"), &none).is_ok(), "{query}");
        }
        for odd in ["a#b", "\"a\"", "<a", "a>", "a b", "a\u{1}", "\u{7f}", "\t"] {
            assert_eq!(target(&format!("/a?{odd}"), &none).unwrap_err().reason, Reason::RequestMalformed, "{odd}");
        }
    }

    #[test]
    fn odd_hosts_are_refused() {
        for odd in ["a b", "a:b", "a:123456", "", "a/b", "[::1", "[::1]x", "a,b:1:2", "u@h"] {
            let headers = HeaderMap::from_iter([(header::HOST, odd.parse().unwrap())]);
            assert!(target("/", &headers).is_err(), "{odd}");
        }
        let mut two = HeaderMap::new();
        two.append(header::HOST, "a".parse().unwrap());
        two.append(header::HOST, "a".parse().unwrap());
        assert!(target("/", &two).is_err());
        let v6 = HeaderMap::from_iter([(header::HOST, "[::1]:80".parse().unwrap())]);
        assert_eq!(target("/", &v6).unwrap().host, "[::1]");
    }

    proptest! {
        #[test]
        fn a_usual_host_is_read_as_any_other(text in "([a-c0-9A._-]{1,3}|[.:%\\[\\] \u{e9}]){0,6}(:[0-9a]{0,6})?") {
            if let Some(name) = usual_host(text.as_bytes()) {
                prop_assert_eq!(normal_host(&text), Ok(Cow::Borrowed(name)));
            } else if let Some(Ok(name)) = visible(text.as_bytes()).map(normal_host) {
                let had_a_dot = text.trim_end_matches(|byte: char| byte != '.').trim_end_matches('.').len() == name.len();
                prop_assert!(matches!(name, Cow::Owned(_)) || name.starts_with('[') || had_a_dot, "{}", text);
            }
        }
    }
}
