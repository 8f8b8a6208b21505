//! `routes`: what is matched, who may call, where it goes.

use crate::core::route::{Conflict, HostError, HostName, Match, Methods, MethodsError, Pattern, RouteTable};
use crate::core::snapshot::{Mode, Requirement, Route};

use super::decode::Fields;
use super::issuer::MODES;
use super::limits::{SIZE, positive_duration};
use super::report::Report;
use super::requirement::{self, Names};
use super::scalar::{self, Flaw};
use super::source::Place;
use super::upstreams::Upstreams;
use super::yaml::Node;
use super::{Authority, keys, words};

const MATCH: &str = "`METHODS /pattern` or `/pattern`, such as `GET,PUT /v1/files/{*path}`";

/// Decodes and compiles the routes.
pub(super) fn decode(
    file: &Fields<'_>,
    upstreams: &mut Upstreams<'_>,
    names: &mut Names<'_, '_>,
    report: &mut Report<'_>,
) -> RouteTable {
    let items = report.required(file, "routes", |report, node| report.items(node, "a list of routes"));
    let mut places = Vec::new();
    let mut routes = Vec::new();
    for item in items.unwrap_or_default() {
        let decoded = report.fields(item, &keys::ROUTE).and_then(|fields| route(&fields, upstreams, names, report));
        if let Some((place, matched, route)) = decoded {
            places.push(place);
            routes.push((matched, route));
        }
    }
    RouteTable::build(routes).unwrap_or_else(|conflicts| {
        report_conflicts(&conflicts, &places, report);
        RouteTable::default()
    })
}

fn report_conflicts(conflicts: &[Conflict], places: &[Place], report: &mut Report<'_>) {
    for Conflict { first, second, methods } in conflicts {
        let (Some(first), Some(second)) = (places.get(*first), places.get(*second)) else { continue };
        report
            .error(*second, format!("another route matches the same requests ({methods})"))
            .related(*first, "this one")
            .hint("routes may not overlap: order never matters");
    }
}

fn route(
    fields: &Fields<'_>,
    upstreams: &mut Upstreams<'_>,
    names: &mut Names<'_, '_>,
    report: &mut Report<'_>,
) -> Option<(Place, Match, Route)> {
    let target = report.required(fields, "match", |report, node| target(node, names.authority, report));
    let host = report.field(fields, "host", |report, node| {
        let parse = |text: &str| match HostName::parse(text) {
            Ok(host) => Ok((Box::<str>::from(text), host)),
            Err(error) => Err(no_host(text, error)),
        };
        report.parsed(node, "a host name such as files.example.com", parse)
    });
    let requirement = requirement::decode(fields, names, report);
    let timeout = report.field(fields, "timeout", positive_duration);
    let body_bytes_max = report.field(fields, "max_body", |report, node| report.quantity(node, SIZE, scalar::size));
    let mode = report.field(fields, "mode", |report, node| report.word(node, MODES)).unwrap_or_default();
    let upstream = report.required(fields, "upstream", |report, node| upstreams.named(report, node));
    let (place, target) = target?;
    let (host_text, host) = host.unzip();
    let label = [target.methods_text, host_text.as_deref().unwrap_or_default(), target.pattern_text];
    let label: Vec<&str> = label.into_iter().filter(|part| !part.is_empty()).collect();
    let label = label.join(" ");
    if matches!(requirement, Some(Requirement::Public)) {
        report.warn(place, format!("`{label}` is public: anybody may call it"));
    }
    if mode == Mode::Shadow {
        report.warn(place, format!("`{label}` is in shadow mode: what its token may not do is let through"));
    }
    let line = u32::try_from(report.source.position(place.start).line).unwrap_or(u32::MAX);
    let matched = Match { label: label.into(), line, methods: target.methods, host, pattern: target.pattern };
    let route = Route { requirement: requirement?, upstream: upstream?, timeout, body_bytes_max, mode };
    Some((place, matched, route))
}

fn no_host(text: &str, error: HostError) -> Flaw {
    let flaw = Flaw::new(error.to_string());
    let written = match error {
        // In quotes: brackets are a list otherwise.
        HostError::Brackets => Some(format!("\"[{text}]\"")),
        HostError::Scheme => host_of_url(text).map(str::to_owned),
        _ => None,
    };
    match written {
        Some(written) => flaw.hint(format!("write `{}`", words::shown(&written))),
        None => flaw,
    }
}

/// The host of a URL without port, if it is one.
fn host_of_url(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let host = rest.split('/').next()?;
    HostName::parse(host).is_ok().then_some(host)
}

/// `match`, as values and as text.
struct Target<'t> {
    methods_text: &'t str,
    methods: Methods,
    pattern_text: &'t str,
    pattern: Pattern,
}

fn target<'t>(
    node: &'t Node<'t>,
    authority: Option<&Authority>,
    report: &mut Report<'_>,
) -> Option<(Place, Target<'t>)> {
    let text = report.text(node, MATCH)?;
    match read_target(text) {
        Ok(target) => {
            warn_of_odd_methods(&target.methods, node.place, report);
            if authority.and_then(|authority| authority.endpoint(target.pattern_text)).is_some() {
                report.error(node.place, "the authority answers at this path: no request would reach the route");
            }
            Some((node.place, target))
        }
        Err(flaw) => {
            report.flaw(node, text, flaw, MATCH);
            None
        }
    }
}

/// The methods that nearly every route means.
const COMMON: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/// Any token can be a method; one that is nearly a common one is probably meant to be that.
fn warn_of_odd_methods(methods: &Methods, place: Place, report: &mut Report<'_>) {
    let names = methods.named().unwrap_or_default().iter().map(http::Method::as_str);
    for name in names.filter(|name| !COMMON.contains(name)) {
        if let Some(nearest) = words::nearest(name, COMMON) {
            report.warn(place, format!("`{name}` is an unusual method: did you mean `{nearest}`?"));
        }
    }
}

fn read_target(text: &str) -> Result<Target<'_>, Flaw> {
    let (methods_text, pattern_text) = match text.split_once([' ', '\t']) {
        Some((methods, pattern)) => (methods, pattern.trim_start()),
        None if text.starts_with('/') => ("", text),
        None => return Err(no_pattern(text)),
    };
    let methods = match methods_text {
        "" => Methods::all(),
        _ => Methods::parse(methods_text).map_err(|error| bad_methods(methods_text, &error))?,
    };
    let pattern = Pattern::parse(pattern_text).map_err(|error| {
        let at = text.len() - pattern_text.len() + error.at;
        Flaw::new(error.to_string()).at(at..at + 1)
    })?;
    Ok(Target { methods_text, methods, pattern_text, pattern })
}

/// What is wrong with a text that neither starts with `/` nor has a space in it.
fn no_pattern(text: &str) -> Flaw {
    if text.contains("://") {
        return Flaw::new("a pattern is a path: the host of a route stands in its `host`");
    }
    let is_common = |method: &str| COMMON.contains(&method);
    match (text.split_once('/'), Methods::parse(text)) {
        (None, Ok(_)) => Flaw::new("the pattern is missing"),
        // `GET,POST,` and `get`. Of others nothing may be said that would show them: they may be from the environment.
        (None, Err(error)) if text.to_ascii_uppercase().split(',').all(|it| it.is_empty() || is_common(it)) => {
            bad_methods(text, &error)
        }
        // `GET,/v1/x`
        (Some((methods, path)), _) if methods.trim_end_matches(',').split(',').all(is_common) => {
            let written = format!("{} /{path}", methods.trim_end_matches(','));
            write_instead(Flaw::new("a space stands between methods and pattern"), &written)
        }
        _ => write_instead(Flaw::new("a pattern starts with `/`"), &format!("/{text}")),
    }
}

/// A flaw with this for a hint, if it is right.
fn write_instead(flaw: Flaw, written: &str) -> Flaw {
    match read_target(written) {
        Ok(_) => flaw.hint(format!("write `{}`", words::shown(written))),
        Err(_) => flaw,
    }
}

fn bad_methods(text: &str, error: &MethodsError) -> Flaw {
    let rest = text.get(error.at..).unwrap_or_default();
    let length = rest.find(',').unwrap_or(rest.len()).max(1);
    Flaw::new(error.to_string()).at(error.at..error.at + length)
}
