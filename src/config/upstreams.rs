//! `upstreams`: the backends.

use std::collections::HashMap;
use std::time::Duration;

use http::uri::PathAndQuery;

use crate::core::snapshot::{PathReading, UpstreamId};

use super::decode::Fields;
use super::files::Files;
use super::limits::positive_duration;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::source::Place;
use super::tls::Clients;
use super::yaml::{Entry, Node};
use super::{Endpoint, HealthCheck, HostHeader, HttpUpstream, Upstream, UpstreamKind, endpoint, keys, words};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(30);
const INTERVAL: Duration = Duration::from_secs(5);
const URL: &str = "a URL such as http://127.0.0.1:3000, h2c://grpc.internal:50051 or https://users.internal";

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

pub(super) fn decode<'t>(file: &Fields<'t>, files: &mut Files<'_>, report: &mut Report<'_>) -> Upstreams<'t> {
    let (mut upstreams, mut clients) = (Upstreams::default(), Clients::new(files));
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
        upstreams.all.push(upstream(entry, &mut clients, report));
    }
    upstreams
}

fn upstream(entry: &Entry<'_>, clients: &mut Clients<'_, '_>, report: &mut Report<'_>) -> Upstream {
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
    let kind = fields.and_then(|fields| kind(&fields, clients, report)).unwrap_or(UpstreamKind::Echo);
    Upstream { name: Box::from(&*entry.key.text), kind, paths: paths.unwrap_or_default() }
}

fn kind(fields: &Fields<'_>, clients: &mut Clients<'_, '_>, report: &mut Report<'_>) -> Option<UpstreamKind> {
    let Some(builtin) = fields.get("builtin") else {
        return http(fields, clients, report).map(UpstreamKind::Http);
    };
    for key in ["urls", "connect_timeout", "timeout", "host", "tls", "health_check"] {
        if let Some(place) = fields.key_place(key) {
            report.error(place, "a builtin upstream has no backend").related(builtin.place, "builtin");
        }
    }
    report.word(builtin, &[("echo", ())]).map(|()| UpstreamKind::Echo)
}

fn http(fields: &Fields<'_>, clients: &mut Clients<'_, '_>, report: &mut Report<'_>) -> Option<HttpUpstream> {
    if fields.get("urls").is_none() {
        report.missing(fields, "urls", "expected `urls: [http://…]` or `builtin: echo`");
    }
    let before = report.problems();
    let endpoints = report.field(fields, "urls", endpoints).filter(|_| report.problems() == before);
    let tls = clients.decode(fields, endpoints.as_deref(), report);
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
        tls,
    })
}

fn endpoints(report: &mut Report<'_>, node: &Node<'_>) -> Option<Vec<Endpoint>> {
    let mut first: HashMap<Endpoint, Place> = HashMap::new();
    report.list_of(node, "a list of URLs", |report, item| {
        let endpoint = report.parsed(item, URL, endpoint::parse)?;
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
