//! One URL of an upstream.

use std::net::Ipv6Addr;

use rustls::pki_types::ServerName;

use super::scalar::Flaw;
use super::{Endpoint, Scheme, words};

/// What stands before `://`, and the port where none is named.
const SCHEMES: [(&str, Scheme, u16); 3] =
    [("http", Scheme::Http, 80), ("h2c", Scheme::H2c, 80), ("https", Scheme::Https, 443)];

/// `SCHEME://HOST[:PORT]`: what comes behind it would have to be put before every path, which is not done.
pub(super) fn parse(text: &str) -> Result<Endpoint, Flaw> {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| !scheme.is_empty()) else {
        return Err(without_scheme(text.trim_start_matches("://")));
    };
    let Some((_, kind, default_port)) = SCHEMES.iter().find(|(known, ..)| *known == scheme).copied() else {
        return Err(unknown(scheme));
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(Flaw::new("a URL with a user name: credentials do not belong into the configuration"));
    }
    if let Some(at) = rest.find(['/', '?', '#']) {
        let at = scheme.len() + "://".len() + at;
        return Err(Flaw::new("paths are forwarded as they come: the URL cannot have one").at(at..text.len()));
    }
    let (host, port) = split_port(rest).ok_or_else(|| Flaw::new("not a host with an optional port"))?;
    if kind == Scheme::Https && ServerName::try_from(host).is_err() {
        return Err(Flaw::new("not a name or address that a certificate can be for"));
    }
    let port = port.map_or(Ok(default_port), parse_port)?;
    Ok(Endpoint { scheme: kind, host: host.to_ascii_lowercase().into(), port })
}

fn without_scheme(text: &str) -> Flaw {
    let flaw = Flaw::new("the URL has no scheme");
    let url = format!("http://{text}");
    if parse(&url).is_ok() { flaw.hint(format!("write `{}`", words::shown(&url))) } else { flaw }
}

fn unknown(scheme: &str) -> Flaw {
    let flaw = Flaw::new("unknown scheme").at(0..scheme.len());
    let meant = match &*scheme.to_ascii_lowercase() {
        "h2" | "grpc" => Some("h2c"),
        "grpcs" | "wss" => Some("https"),
        "ws" => Some("http"),
        other => words::nearest(other, SCHEMES.map(|(known, ..)| known)),
    };
    match meant {
        Some(meant) => flaw.hint(format!("write `{meant}://`")),
        None => flaw,
    }
}

fn parse_port(text: &str) -> Result<u16, Flaw> {
    let port = text.parse().ok().filter(|port| *port != 0);
    port.ok_or_else(|| Flaw::new("a port is a number from 1 to 65535"))
}

/// The host, without the brackets of an IPv6 address, and the port.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return if port.is_empty() { Some((address, None)) } else { Some((address, Some(port.strip_prefix(':')?))) };
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let label_ok = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let name = host.strip_suffix('.').unwrap_or(host);
    (host.len() <= 253 && name.split('.').all(label_ok)).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_a_scheme_a_host_and_a_port() {
        for (text, scheme, host, port) in [
            ("http://127.0.0.1:3000", Scheme::Http, "127.0.0.1", 3000),
            ("http://users.internal", Scheme::Http, "users.internal", 80),
            ("http://Users/", Scheme::Http, "users", 80),
            ("http://[::1]:81", Scheme::Http, "::1", 81),
            ("http://[::1]", Scheme::Http, "::1", 80),
            ("h2c://users", Scheme::H2c, "users", 80),
            ("h2c://users:50051", Scheme::H2c, "users", 50051),
            ("https://users.internal", Scheme::Https, "users.internal", 443),
            ("https://[::1]:8443", Scheme::Https, "::1", 8443),
            ("https://10.0.0.1", Scheme::Https, "10.0.0.1", 443),
        ] {
            assert_eq!(parse(text), Ok(Endpoint { scheme, host: host.into(), port }), "{text}");
        }
        for odd in [
            "",
            "http://",
            "http://:80",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a b",
            "http://a/b",
            "http://a?b",
            "http://u:p@a",
            "http://[::1",
            "http://[a]",
            "http://[::1]x",
            "http://::1",
            "http://a..b",
            "https://",
            "https://a/b",
            "h2c://u@a",
            "HTTP://a",
            "a:80",
        ] {
            assert!(parse(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_scheme_that_was_meant_is_named() {
        for (text, meant) in [("htps://a", "https"), ("grpc://a", "h2c"), ("H2://a", "h2c"), ("wss://a", "https")] {
            assert_eq!(parse(text).unwrap_err().hint, Some(format!("write `{meant}://`")), "{text}");
        }
        assert_eq!(parse("unix://a").unwrap_err().hint, None);
    }
}
