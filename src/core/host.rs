//! The host of a route.

use std::net::Ipv6Addr;

/// A host name or address, in lower case, without port and without trailing dot: as
/// [`RequestHead::target`](super::head::RequestHead::target) gives that of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(Box<str>);

/// Why a text is no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("a host name is expected")]
    Empty,
    /// A scheme before the name.
    #[error("a host has no scheme and no path: a route matches the name")]
    Scheme,
    /// An IPv6 address without its brackets.
    #[error("an IPv6 address stands in brackets")]
    Brackets,
    /// A port behind the name.
    #[error("a host has no port: a route matches the name, whatever the port")]
    Port,
    /// A `*`.
    #[error("a host is one name: wildcards are not supported")]
    Wildcard,
    /// Characters outside ASCII.
    #[error("a host is compared as it is sent: write the ASCII form (xn--…)")]
    NonAscii,
    /// Anything else.
    #[error("a host is letters, digits, '-' and '_' between dots, an IPv4 address, or an IPv6 address in brackets")]
    Syntax,
}

impl HostName {
    /// Reads a host. Case and one trailing dot do not matter.
    ///
    /// # Errors
    /// Says what a host would look like.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        match name {
            "" => Err(HostError::Empty),
            _ if !name.is_ascii() => Err(HostError::NonAscii),
            _ if name.contains('*') => Err(HostError::Wildcard),
            _ if name.starts_with('[') => check_ipv6(name),
            _ if name.contains("://") => Err(HostError::Scheme),
            _ if name.parse::<Ipv6Addr>().is_ok() => Err(HostError::Brackets),
            _ if name.contains(':') => Err(HostError::Port),
            _ if is_host(name) => Ok(()),
            _ => Err(HostError::Syntax),
        }?;
        Ok(Self(name.to_ascii_lowercase().into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a request can be for this host: what [`HostName`] could be, in any case.
pub(super) fn is_host(name: &str) -> bool {
    match name.as_bytes() {
        [b'[', ..] => check_ipv6(name).is_ok(),
        name => name.split(|byte| *byte == b'.').all(is_label),
    }
}

fn is_label(label: &[u8]) -> bool {
    !label.is_empty() && label.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn check_ipv6(name: &str) -> Result<(), HostError> {
    let (address, rest) = name.get(1..).and_then(|inner| inner.split_once(']')).ok_or(HostError::Syntax)?;
    if rest.starts_with(':') {
        return Err(HostError::Port);
    }
    let is_address = rest.is_empty() && address.parse::<Ipv6Addr>().is_ok();
    is_address.then_some(()).ok_or(HostError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_normalised() {
        for (text, name) in [
            ("files.example.com", "files.example.com"),
            ("Files.Example.COM.", "files.example.com"),
            ("localhost", "localhost"),
            ("10.0.0.1", "10.0.0.1"),
            ("my_host-1", "my_host-1"),
            ("[::1]", "[::1]"),
            ("[FE80::1]", "[fe80::1]"),
        ] {
            assert_eq!(HostName::parse(text).map(|host| host.0), Ok(name.into()), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (text, error) in [
            ("", HostError::Empty),
            (".", HostError::Empty),
            ("a.b:80", HostError::Port),
            ("[::1]:80", HostError::Port),
            ("*.example.com", HostError::Wildcard),
            ("bücher.example", HostError::NonAscii),
            ("a..b", HostError::Syntax),
            ("a b", HostError::Syntax),
            ("a/b", HostError::Syntax),
            ("http://a", HostError::Scheme),
            ("https://[::1]:443/", HostError::Scheme),
            ("::1", HostError::Brackets),
            ("fe80::1:2", HostError::Brackets),
            ("1:2", HostError::Port),
            ("[::1", HostError::Syntax),
            ("[::g]", HostError::Syntax),
        ] {
            assert_eq!(HostName::parse(text), Err(error), "{text}");
        }
    }
}
