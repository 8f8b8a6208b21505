//! `authz`: where other proxies ask for decisions, and which of them are believed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::source::Place;
use super::{keys, listeners, tls};
use crate::net::tls::ServerTls;

/// `authz`.
#[derive(Debug, Clone)]
pub struct Authz {
    /// Where Envoy asks (`envoy.service.auth.v3.Authorization`). Only a start can change it.
    pub grpc: Option<AuthzAddress>,
    /// Where nginx, Traefik and Caddy ask. Only a start can change it.
    pub http: Option<AuthzAddress>,
    /// Who is asked for and what they are shown. A reload can change it.
    pub trust: AuthzTrust,
}

/// Who may ask, and what they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthzTrust {
    /// Who may ask, and is believed about the original request. Whoever reaches a Unix socket may.
    pub allow_from: Vec<IpNet>,
    /// What is shown to those who come over TCP; `None` is no TLS.
    pub tls: Option<ServerTls>,
}

impl Default for AuthzTrust {
    /// This machine alone.
    fn default() -> Self {
        let v4 = Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8);
        let v6 = Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128);
        Self { allow_from: vec![v4.into(), v6.into()], tls: None }
    }
}

impl AuthzTrust {
    /// Whether this peer may ask.
    #[must_use]
    pub fn allows(&self, peer: IpAddr) -> bool {
        self.allow_from.iter().any(|network| network.contains(&peer.to_canonical()))
    }
}

/// Where other proxies ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthzAddress {
    /// `IP:PORT`.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

impl fmt::Display for AuthzAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Longest path of a socket: what fits into `sun_path` (`unix(7)`) with the zero behind it.
const SOCKET_PATH_MAX: usize = 107;

const ADDRESS: &str = "IP:PORT or the path of a socket, such as 127.0.0.1:9191 or unix:/run/sidegate/authz.sock";

/// Decodes the section. `taken` are the addresses of other listeners.
pub(super) fn decode(
    file: &Fields<'_>,
    taken: &[SocketAddr],
    files: &mut Files<'_>,
    report: &mut Report<'_>,
) -> Option<Authz> {
    report.field(file, "authz", |report, node| {
        let fields = report.fields(node, &keys::AUTHZ)?;
        let mut seen: Vec<AuthzAddress> = taken.iter().copied().map(AuthzAddress::Tcp).collect();
        let grpc = address(&fields, "grpc", &mut seen, report);
        let http = address(&fields, "http", &mut seen, report);
        if !fields.may_have("grpc") && !fields.may_have("http") {
            report.missing(&fields, "grpc", "expected a key `grpc`, `http`, or both");
        }
        let allow_from = allow_from(&fields, report);
        for (address, place) in grpc.iter().chain(&http) {
            check_reach(address, *place, &fields, report);
        }
        let tls = report.field(&fields, "tls", |report, node| tls::server(node, files, report));
        let addresses: Vec<&AuthzAddress> = grpc.iter().chain(&http).map(|(address, _)| address).collect();
        let all_unix = addresses.iter().all(|address| matches!(address, AuthzAddress::Unix(_)));
        if let Some(place) = fields.key_place("tls").filter(|_| all_unix && !addresses.is_empty()) {
            report.error(place, "there is no TLS on Unix sockets");
        }
        let allow_from = allow_from.unwrap_or_else(|| AuthzTrust::default().allow_from);
        let trust = AuthzTrust { allow_from, tls };
        Some(Authz { grpc: grpc.map(|(address, _)| address), http: http.map(|(address, _)| address), trust })
    })
}

fn address(
    fields: &Fields<'_>,
    key: &'static str,
    seen: &mut Vec<AuthzAddress>,
    report: &mut Report<'_>,
) -> Option<(AuthzAddress, Place)> {
    report.field(fields, key, |report, node| {
        let address = report.quantity(node, ADDRESS, parse)?;
        if let Some(other) = seen.iter().find(|other| overlap(other, &address)) {
            let finding = report.error(node.place, listeners::TAKEN);
            if let Some(why) = why_they_overlap(other, &address) {
                finding.hint(why);
            }
        }
        seen.push(address.clone());
        Some((address, node.place))
    })
}

fn parse(text: &str) -> Result<AuthzAddress, Flaw> {
    let Some(path) = text.strip_prefix("unix:") else { return scalar::address(text).map(AuthzAddress::Tcp) };
    let flaw = if !path.starts_with('/') {
        Flaw::new("the path of a socket has to be absolute")
    } else if path.contains(char::is_control) {
        Flaw::new("this is no path")
    } else if path.len() > SOCKET_PATH_MAX {
        Flaw::new(format!("the path of a socket has at most {SOCKET_PATH_MAX} bytes"))
    } else {
        return Ok(AuthzAddress::Unix(Path::new(path).to_owned()));
    };
    Err(flaw)
}

fn overlap(a: &AuthzAddress, b: &AuthzAddress) -> bool {
    match (a, b) {
        (AuthzAddress::Tcp(a), AuthzAddress::Tcp(b)) => listeners::overlap(*a, *b),
        (a, b) => a == b,
    }
}

fn why_they_overlap(a: &AuthzAddress, b: &AuthzAddress) -> Option<&'static str> {
    match (a, b) {
        (AuthzAddress::Tcp(a), AuthzAddress::Tcp(b)) => listeners::why_they_overlap(*a, *b),
        _ => None,
    }
}

fn allow_from(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Vec<IpNet>> {
    report.field(fields, "allow_from", |report, node| {
        report.list_of(node, "a list of networks", |report, item| {
            let network = report.parsed(item, "a network such as 10.0.0.0/8", scalar::network)?;
            if network.prefix_len() == 0 {
                report.warn(item.place, format!("`{network}`: anybody may ask for decisions about made-up requests"));
            }
            Some(network)
        })
    })
}

/// Whoever asks is believed about the request, its client's address included: on an address that other machines reach it
/// has to be said who that is.
fn check_reach(address: &AuthzAddress, place: Place, fields: &Fields<'_>, report: &mut Report<'_>) {
    let AuthzAddress::Tcp(tcp) = address else { return };
    if !tcp.ip().is_loopback() && !fields.may_have("allow_from") {
        report
            .error(place, format!("{tcp} can be reached from other machines, and nobody there may ask"))
            .expected("expected a key `allow_from`: the networks of the proxies that ask, such as [10.0.0.0/8]");
    }
}
