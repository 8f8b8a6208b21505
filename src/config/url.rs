//! URLs that something is fetched from.

use std::net::IpAddr;

use http::Uri;

use super::scalar::Flaw;

/// Longest URL in bytes.
const BYTES_MAX: usize = 2048;

/// A URL to GET: `http://` or `https://`, with a host, and without what is not sent or ought not to be there.
pub(super) fn fetchable(text: &str) -> Result<Uri, Flaw> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| Flaw::new("not a URL that begins with https:// or http://"))?;
    // http::Uri drops a fragment without a word.
    if let Some(at) = text.find('#') {
        return Err(Flaw::new("a URL with a fragment, which is never sent").at(at..text.len()));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(Flaw::new("a URL with a user name: credentials do not belong into the configuration"));
    }
    let uri = text.parse::<Uri>().ok().filter(|_| text.len() <= BYTES_MAX && has_host(authority));
    uri.ok_or_else(|| Flaw::new("not a URL"))
}

/// The name of an issuer whose metadata can be found by it (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 2).
pub(super) fn discoverable(text: &str) -> Result<Uri, Flaw> {
    match text.find('?') {
        Some(at) => Err(Flaw::new("a URL with a query has no place for metadata").at(at..text.len())),
        None => fetchable(text),
    }
}

/// The same for an issuer that answers at the root of its host: with a path its metadata would be looked for elsewhere.
pub(super) fn root(text: &str) -> Result<Uri, Flaw> {
    let uri = discoverable(text)?;
    match text.match_indices('/').nth(2) {
        Some((at, _)) if uri.path() != "/" => {
            Err(Flaw::new("a URL with a path: the authority answers at the root of its host").at(at..text.len()))
        }
        _ => Ok(uri),
    }
}

/// A URL that paths are put behind: one without a query.
pub(super) fn base(text: &str) -> Result<Uri, Flaw> {
    match text.find('?') {
        Some(at) => Err(Flaw::new("a URL with a query: paths are put behind it").at(at..text.len())),
        None => fetchable(text),
    }
}

/// Whether what is fetched from there crosses a network that anybody on the way can change it on.
pub(super) fn is_open(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_loopback = address.map_or(host.eq_ignore_ascii_case("localhost"), |address| address.is_loopback());
    uri.scheme_str() == Some("http") && !is_loopback
}

fn has_host(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    !host.is_empty() && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_fetched_is_a_url() {
        for fine in ["https://a", "http://a:8080/jwks", "https://[::1]:1/x?p=q", "http://127.0.0.1", "https://a/b/"] {
            assert!(fetchable(fine).is_ok(), "{fine}");
        }
        for odd in [
            "",
            "a",
            "ftp://a",
            "HTTPS://a",
            "https://",
            "https:///a",
            "https://:1",
            "https://a:",
            "https://a:0",
            "https://a:65536",
            "https://a#b",
            "https://u:p@a",
            "https://a b",
            "https://a/\u{1}",
        ] {
            assert!(fetchable(odd).is_err(), "{odd}");
        }
        assert!(fetchable(&format!("https://a/{}", "x".repeat(BYTES_MAX))).is_err());
        assert!(discoverable("https://a/b").is_ok() && discoverable("https://a?b").is_err());
        assert!(root("http://a:8080").is_ok() && root("https://a/").is_ok());
        assert!(root("https://a/b").is_err() && root("https://a//").is_err() && root("https://a/?b").is_err());
    }

    #[test]
    fn what_anybody_on_the_way_can_change_is_open() {
        let open = |text| is_open(&fetchable(text).unwrap());
        assert!(open("http://issuer.internal/jwks") && open("http://10.0.0.1") && open("http://[2001:db8::1]"));
        for closed in ["https://issuer.internal", "http://localhost:1", "http://127.1.2.3", "http://[::1]:80"] {
            assert!(!open(closed), "{closed}");
        }
    }
}
