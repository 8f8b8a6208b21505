//! `/status`: what runs here, from which configuration, with which keys.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::AdminState;
use super::readiness::Standing;
use crate::clock;
use crate::config::{KeyFetch, KeySource};
use crate::core::route::Match;
use crate::core::scope::{NameId, Vocabulary};
use crate::core::snapshot::{Issuer, Mode, Requirement, Route, Snapshot};
use crate::live::keys::{KeyOrigin, Known};
use crate::live::registry::RegistryState;
use crate::live::state::Generation;
use crate::upstream::{EndpointStatus, UpstreamHealth};

/// The document.
pub(super) fn document(state: &AdminState, live: &Generation) -> Value {
    let snapshot = &live.snapshot;
    let loaded = state.loaded.load();
    let now = clock::monotonic();
    let standing = Standing::of(state.readiness.phase(), live, &state.registries);
    let (is_ready, cause) = match &standing {
        Standing::Ready => (true, None),
        Standing::Degraded(cause) => (true, Some(cause)),
        Standing::Unready(cause) => (false, Some(cause)),
    };
    let (issuers, registries) = (snapshot.issuers.iter().zip(&*live.key_origins), state.registries.all());
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "ready": is_ready,
        "degraded": matches!(standing, Standing::Degraded(_)),
        "cause": cause,
        "uptime_seconds": now.saturating_duration_since(state.started).as_secs(),
        "workers": state.workers,
        "config": {
            "hash": loaded.config_hash,
            "loaded_at": rfc3339(loaded.at_ms),
            "snapshot": snapshot.number,
            "mode": mode(snapshot.mode),
            "last_reload_error": state.last_reload_error.load().as_deref(),
        },
        "issuers": issuers.map(|(found, origin)| issuer(found, origin, registries.get(&found.name))).collect::<Vec<_>>(),
        "routes": snapshot.routes.iter().map(|(_, matched, found)| route(snapshot, matched, found)).collect::<Vec<_>>(),
        "upstreams": live.health.upstreams().map(upstream).collect::<Vec<_>>(),
    })
}

fn upstream(upstream: &UpstreamHealth) -> Value {
    json!({ "name": upstream.name(), "endpoints": upstream.status().map(endpoint).collect::<Vec<_>>() })
}

fn endpoint(endpoint: EndpointStatus) -> Value {
    let EndpointStatus { url, healthy, since_unix_ms, last_failure, addresses } = endpoint;
    json!({
        "url": url,
        "healthy": healthy,
        "since": rfc3339(since_unix_ms),
        "last_failure": last_failure.map(|failure| failure.to_string()),
        "addresses": addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn issuer(issuer: &Issuer, origin: &KeyOrigin, registry: Option<&RegistryState>) -> Value {
    let keys: Vec<Option<&str>> = issuer.keys.iter().map(|key| key.id()).collect();
    let now = clock::timer();
    let Known { good, last_refresh, next_refresh } = origin.state.known();
    json!({
        "name": issuer.name,
        "issuer": issuer.iss,
        "mode": mode(issuer.mode),
        "keys": keys,
        "keys_source": key_source(&origin.source),
        "keys_age_seconds": good.map(|good| good.age(now).as_secs()),
        "last_refresh": last_refresh.map(|last| json!({ "at": rfc3339(last.at_ms), "error": last.error })),
        "next_refresh_seconds": next_refresh.map(|at| at.saturating_duration_since(now).as_secs()),
        "registry": registry.map(|registry| json!({
            "change": registry.number,
            "clients": registry.clients,
            "age_seconds": registry.age(now).map(|age| age.as_secs()),
            "error": registry.error,
        })),
    })
}

/// Without the query of a `jwks_uri`: some have a secret in it.
fn key_source(source: &KeySource) -> String {
    match source {
        KeySource::File => "file".to_owned(),
        KeySource::Authority => "authority".to_owned(),
        KeySource::Fetched(KeyFetch { jwks_uri: None, .. }) => "discovery".to_owned(),
        KeySource::Fetched(KeyFetch { jwks_uri: Some(uri), .. }) => {
            let uri = uri.to_string();
            uri.split('?').next().unwrap_or_default().to_owned()
        }
    }
}

fn route(snapshot: &Snapshot, matched: &Match, route: &Route) -> Value {
    let upstream = snapshot.upstreams.get(usize::from(route.upstream.0));
    json!({
        "match": &*matched.label,
        "line": matched.line,
        "access": access(snapshot, &route.requirement),
        "upstream": upstream.map(|upstream| &upstream.name),
        "mode": mode(snapshot.mode_of(route)),
    })
}

/// Who may call, in the words of the configuration; what a route does not say is left out.
fn access(snapshot: &Snapshot, requirement: &Requirement) -> Value {
    let Requirement::Token(required) = requirement else { return json!({"public": true}) };
    let mut access = serde_json::Map::new();
    let mut add = |key: &str, list: Vec<&str>| {
        if !list.is_empty() {
            access.insert(key.to_owned(), json!(list));
        }
    };
    add("scopes", names(&snapshot.scopes, &required.scopes));
    add("any_scope", names(&snapshot.scopes, &required.any_scope));
    add("roles", names(&snapshot.role_names, &required.roles));
    let issuers = required.issuers.iter().flatten().filter_map(|id| snapshot.issuers.get(*id));
    add("issuers", issuers.map(|issuer| &*issuer.name).collect());
    add("clients", required.clients.iter().flatten().map(AsRef::as_ref).collect());
    if access.is_empty() {
        access.insert("authenticated".to_owned(), Value::Bool(true));
    }
    Value::Object(access)
}

fn names<'a>(vocabulary: &'a Vocabulary, ids: &[NameId]) -> Vec<&'a str> {
    ids.iter().map(|id| vocabulary.name(*id)).collect()
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    }
}

fn rfc3339(ms: u64) -> Option<String> {
    let ms = i64::try_from(ms).ok()?;
    Some(format!("{:.3}", Timestamp::from_millisecond(ms).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::snapshot::{ErrorFormat, IssuerId, TokenRequirement};
    use crate::fronts::fixture::{requirement, snapshot, with_route};

    #[test]
    fn access_is_told_in_the_words_of_the_configuration() {
        let mut snapshot = snapshot(ErrorFormat::Envelope);
        assert_eq!(access(&snapshot, &Requirement::Public), json!({"public": true}));
        let any = Requirement::Token(TokenRequirement::default());
        assert_eq!(access(&snapshot, &any), json!({"authenticated": true}));
        let required = TokenRequirement {
            issuers: Some([IssuerId(0)].into()),
            clients: Some(["globex".into(), "acme".into()].into()),
            ..requirement(&mut snapshot, &["users:read"], &["admin"])
        };
        assert_eq!(
            access(&snapshot, &Requirement::Token(required)),
            json!({
                "scopes": ["users:read"],
                "roles": ["admin"],
                "issuers": ["partner"],
                "clients": ["acme", "globex"],
            })
        );
    }

    #[test]
    fn routes_are_named_as_in_the_configuration() {
        let mut snapshot = snapshot(ErrorFormat::Envelope);
        with_route(&mut snapshot, Requirement::Public);
        snapshot.mode = Mode::Shadow;
        let routes: Vec<Value> =
            snapshot.routes.iter().map(|(_, matched, found)| route(&snapshot, matched, found)).collect();
        let expected = json!({
            "match": "GET /v1/users",
            "line": 7,
            "access": {"public": true},
            "upstream": "users",
            "mode": "shadow",
        });
        assert_eq!(routes, [expected]);
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(rfc3339(1_795_305_600_042).as_deref(), Some("2026-11-22T00:00:00.042Z"));
    }
}
