//! `upstreams`: the backends.

use std::collections::HashMap;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::core::snapshot::{PathReading, UpstreamId};

use super::decode::Fields;
use super::limits::positive_duration;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::source::Place;
use super::yaml::{Entry, Node};
use super::{Endpoint, HealthCheck, HostHeader, HttpUpstream, Scheme, Upstream, UpstreamKind, keys, words};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(5);
const URL: &str = "a URL such as http://127.0.0.1:3000 or http://users.internal";

/// The upstreams, and where each is in the file.
#[derive(Default)]
pub(super) struct Upstreams<'t> {
    pub(super) all: Vec<Upstream>,
    places: Vec<Place>,
    ids: HashMap<&'t str, UpstreamId>,
    used: Vec<bool>,
    /// Whether the section could be read. If not, routes need not be told that theirs is not in it.
    is_readable: bool,
}

impl Upstreams<'_> {
    /// The upstream that a route names.
    pub(super) fn named(&mut self, report: &mut Report<'_>, node: &Node<'_>) -> Option<UpstreamId> {
        let name = report.text(node, "the name of an upstream")?;
        let Some(id) = self.ids.get(name).copied() else {
            if !self.is_readable {
                return None;
            }
            let message = format!("no upstream is called `{}`", words::shown(name));
            report.unknown_word(node.place, message, name, self.ids.keys().copied());
            return None;
        };
        if let Some(used) = self.used.get_mut(usize::from(id.0)) {
            *used = true;
        }
        Some(id)
    }

    /// Warns of upstreams that no route names.
    pub(super) fn warn_unused(&self, report: &mut Report<'_>) {
        for ((upstream, place), _) in self.all.iter().zip(&self.places).zip(&self.used).filter(|(_, used)| !**used) {
            report.warn(*place, format!("no route uses the upstream `{}`", upstream.name));
        }
    }
}

pub(super) fn decode<'t>(file: &Fields<'t>, report: &mut Report<'_>) -> Upstreams<'t> {
    let mut upstreams = Upstreams::default();
    let entries = report
        .required(file, "upstreams", |report, node| report.entries(node, "a mapping of upstreams by their names"));
    upstreams.is_readable = entries.is_some();
    for entry in entries.unwrap_or_default().iter().filter(|entry| !entry.key.broken) {
        let Ok(id) = u16::try_from(upstreams.all.len()) else {
            report.error(entry.key.place, "more than 65536 upstreams");
            break;
        };
        // An upstream that is wrong in itself still has its name, so that routes to it are not reported as well.
        upstreams.ids.insert(&entry.key.text, UpstreamId(id));
        upstreams.places.push(entry.key.place);
        upstreams.used.push(false);
        upstreams.all.push(upstream(entry, report));
    }
    upstreams
}

fn upstream(entry: &Entry<'_>, report: &mut Report<'_>) -> Upstream {
    if let Err(flaw) = scalar::name(&entry.key.text) {
        report.error(entry.key.place, flaw.message);
    }
    let fields = report.fields(&entry.value, &keys::UPSTREAM);
    let readings = [("folding", PathReading::Folding), ("exact", PathReading::Exact)];
    let paths =
        fields.as_ref().and_then(|fields| report.field(fields, "paths", |report, node| report.word(node, &readings)));
    if paths == Some(PathReading::Exact) {
        report.warn(
            entry.key.place,
            "`paths: exact`: if this backend ignores case or a trailing slash, a narrower route can be slipped past",
        );
    }
    let kind = fields.and_then(|fields| kind(&fields, report)).unwrap_or(UpstreamKind::Echo);
    Upstream { name: Box::from(&*entry.key.text), kind, paths: paths.unwrap_or_default() }
}

fn kind(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<UpstreamKind> {
    let Some(builtin) = fields.get("builtin") else { return http(fields, report).map(UpstreamKind::Http) };
    for key in ["urls", "connect_timeout", "timeout", "host", "health_check"] {
        if let Some(place) = fields.key_place(key) {
            report.error(place, "a builtin upstream has no backend").related(builtin.place, "builtin");
        }
    }
    report.word(builtin, &[("echo", ())]).map(|()| UpstreamKind::Echo)
}

fn http(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<HttpUpstream> {
    if fields.get("urls").is_none() {
        report.missing(fields, "urls", "expected `urls: [http://…]` or `builtin: echo`");
    }
    let endpoints = report.field(fields, "urls", endpoints);
    let connect_timeout = report.field(fields, "connect_timeout", positive_duration);
    let timeout = report.field(fields, "timeout", positive_duration);
    let hosts = [("preserve", HostHeader::Preserve), ("upstream", HostHeader::Upstream)];
    let host = report.field(fields, "host", |report, node| report.word(node, &hosts));
    let health_check = report.field(fields, "health_check", health_check);
    Some(HttpUpstream {
        endpoints: endpoints?,
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        timeout: timeout.unwrap_or(TIMEOUT),
        host: host.unwrap_or_default(),
        health_check,
        tls: None,
    })
}

fn endpoints(report: &mut Report<'_>, node: &Node<'_>) -> Option<Vec<Endpoint>> {
    let mut first: HashMap<Endpoint, Place> = HashMap::new();
    report.list_of(node, "a list of URLs", |report, item| {
        let endpoint = report.parsed(item, URL, endpoint)?;
        if let Some(place) = first.insert(endpoint.clone(), item.place) {
            report.error(item.place, "the URL is there twice").related(place, "first here");
        }
        Some(endpoint)
    })
}

fn health_check(report: &mut Report<'_>, node: &Node<'_>) -> Option<HealthCheck> {
    let fields = report.fields(node, &keys::HEALTH_CHECK)?;
    let path = report.required(&fields, "path", |report, node| {
        report.parsed(node, "a path such as /healthz", |text| match text.parse::<PathAndQuery>() {
            Ok(_) if text.starts_with('/') && !text.contains('#') => Ok(Box::from(text)),
            _ => Err(Flaw::new("not a path")),
        })
    });
    let interval = report.field(&fields, "interval", positive_duration);
    Some(HealthCheck { path: path?, interval: interval.unwrap_or(INTERVAL) })
}

/// `http://HOST[:PORT]`: what comes behind it would have to be put before every path, which is not done.
fn endpoint(text: &str) -> Result<Endpoint, Flaw> {
    let Some(rest) = text.strip_prefix("http://") else {
        return Err(match text.split_once("://") {
            Some((scheme, _)) => Flaw::new("only http:// is supported").at(0..scheme.len()),
            None => Flaw::new("the URL has no scheme").hint(format!("write `http://{}`", words::shown(text))),
        });
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err(Flaw::new("a URL with a user name: credentials do not belong into the configuration"));
    }
    if let Some(at) = rest.find(['/', '?', '#']) {
        let at = text.len() - text.strip_prefix("http://").map_or(0, str::len) + at;
        return Err(Flaw::new("paths are forwarded as they come: the URL cannot have one").at(at..text.len()));
    }
    let (host, port) = split_port(rest).ok_or_else(|| Flaw::new("not a host with an optional port"))?;
    let port = match port {
        None => 80,
        Some(port) => match port.parse() {
            Ok(0) | Err(_) => return Err(Flaw::new("a port is a number from 1 to 65535")),
            Ok(port) => port,
        },
    };
    Ok(Endpoint { scheme: Scheme::Http, host: host.to_ascii_lowercase().into(), port })
}

/// The host, without the brackets of an IPv6 address, and the port.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        address.parse::<std::net::Ipv6Addr>().ok()?;
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
    fn urls_are_a_host_and_a_port() {
        for (text, host, port) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000),
            ("http://users.internal", "users.internal", 80),
            ("http://Users/", "users", 80),
            ("http://[::1]:81", "::1", 81),
            ("http://[::1]", "::1", 80),
        ] {
            assert_eq!(endpoint(text), Ok(Endpoint { scheme: Scheme::Http, host: host.into(), port }), "{text}");
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
            "https://a",
            "HTTP://a",
            "a:80",
        ] {
            assert!(endpoint(odd).is_err(), "{odd}");
        }
    }
}
