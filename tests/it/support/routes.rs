//! Public routes and the snapshot around them, for tests of which route a request takes.

use std::sync::Arc;

use sidegate::core::route::{HostName, Match, Methods, Pattern, RouteTable};
use sidegate::core::snapshot::{
    Authorization, ErrorFormat, ErrorStyle, Identity, Issuers, Mode, PathReading, Requirement, Route, Snapshot,
    UpstreamId, UpstreamPolicy,
};

/// A public route. `matcher` is as in a configuration: `GET,PUT /x` or `/x`.
pub(crate) fn route(matcher: &str, host: Option<&str>, paths: PathReading) -> (Match, Route) {
    let (methods, pattern) = match matcher.find('/') {
        Some(0) | None => (None, matcher),
        Some(_) => matcher.split_once(' ').map_or((None, matcher), |(methods, pattern)| (Some(methods), pattern)),
    };
    let label = [methods, host, Some(pattern)].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let matcher = Match {
        label: label.into(),
        line: 1,
        methods: methods.map_or(Methods::all(), |methods| Methods::parse(methods).expect("methods")),
        host: host.map(|host| HostName::parse(host).expect("a host")),
        pattern: Pattern::parse(pattern).expect("a pattern"),
    };
    let route = Route {
        requirement: Requirement::Public,
        upstream: UpstreamId(u16::from(paths == PathReading::Exact)),
        timeout: None,
        body_bytes_max: None,
        mode: Mode::Enforce,
    };
    (matcher, route)
}

/// The two upstreams of [`route`].
pub(crate) fn upstreams() -> [UpstreamPolicy; 2] {
    let upstream = |name: &str, paths| UpstreamPolicy { name: name.into(), paths };
    [upstream("folding", PathReading::Folding), upstream("exact", PathReading::Exact)]
}

/// A snapshot of nothing but routes.
pub(crate) fn snapshot(routes: Vec<(Match, Route)>) -> Snapshot {
    Snapshot {
        number: 1,
        mode: Mode::Enforce,
        routes: RouteTable::build(routes).expect("no conflict").into(),
        issuers: Issuers::default(),
        scopes: Arc::default(),
        role_names: Arc::default(),
        roles: Arc::default(),
        identity: Identity { tenant: None, headers: Box::default(), authorization: Authorization::Forward },
        upstreams: upstreams().into(),
        errors: ErrorStyle { format: ErrorFormat::Envelope, realm: "test".into() },
        resource: None,
        cors: None,
        trusted_proxies: Box::default(),
        token_bytes_max: 16 * 1024,
        body_bytes_max: None,
    }
}
