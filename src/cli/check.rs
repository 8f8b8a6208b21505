//! `sidegate check`: everything about a configuration that can be known without the network.

use std::fmt::Write;
use std::process::ExitCode;

use crate::config::{Authority, Authz, AuthzAddress, Config, KeySource, Listener, RegistrySource};
use crate::core::route::Match;
use crate::core::scope::{NameId, Vocabulary};
use crate::core::snapshot::{Issuer, Mode, Requirement, Route, Snapshot, TokenRequirement};

use super::ConfigFile;
use super::output::{self, table};

/// Check a configuration; print its routes, and warn of what they open
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sidegate check -c config.yaml")]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigFile,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let config = args.config.load()?;
    let tables = [
        Some(route_table(&config.snapshot)),
        issuer_table(&config),
        config.authority.as_deref().map(|authority| authority_table(&config, authority)),
        Some(listener_table(&config)),
        config.authz.as_ref().map(authz_table),
    ];
    let mut text = tables.into_iter().flatten().collect::<Vec<_>>().join("\n");
    if !config.warnings.is_empty() {
        text.push('\n');
    }
    for warning in &config.warnings {
        writeln!(text, "warning: {warning}")?;
    }
    writeln!(text, "\n{}: {}", args.config.path().display(), summary(&config))?;
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn summary(config: &Config) -> String {
    let parts = [
        count(config.snapshot.routes.iter().count(), "route"),
        count(config.snapshot.issuers.iter().len(), "issuer"),
        count(config.upstreams.len(), "upstream"),
        count(config.warnings.len(), "warning"),
    ];
    format!("ok, {}", parts.join(", "))
}

fn count(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

fn route_table(snapshot: &Snapshot) -> String {
    let header = ["METHODS", "HOST", "PATTERN", "WHO MAY CALL", "UPSTREAM", "MODE"];
    table(header, snapshot.routes.iter().map(|(_, matched, route)| row(snapshot, matched, route)))
}

fn issuer_table(config: &Config) -> Option<String> {
    let rows = config.snapshot.issuers.iter().zip(&config.key_sources).zip(&config.registries);
    let rows =
        rows.map(|((issuer, source), registry)| [issuer.name.to_string(), keys(issuer, source) + &clients(registry)]);
    (!config.key_sources.is_empty()).then(|| table(["ISSUER", "KEYS"], rows))
}

fn authority_table(config: &Config, authority: &Authority) -> String {
    let listeners = config.listeners.iter().zip(&authority.listeners).filter(|(_, serves)| **serves);
    let listeners: Vec<String> = listeners.map(|(listener, _)| listener.address.to_string()).collect();
    let scopes: Vec<&str> = authority.scopes.keys().map(|scope| &**scope).collect();
    let tokens = format!(
        "{}, valid for {} s, for {}",
        authority.algorithm.name(),
        authority.token_lifetime.as_secs(),
        authority.audience
    );
    let rows = [
        ("storage", authority.storage.to_string()),
        ("listeners", listeners.join(", ")),
        ("token paths", authority.token_paths.join(", ")),
        ("tokens", tokens),
        ("scopes", scopes.join(", ")),
    ];
    table(["AUTHORITY", &*authority.issuer], rows.map(|(name, value)| [name.to_owned(), value]))
}

fn listener_table(config: &Config) -> String {
    let tls = |listener: &Listener| if listener.tls.is_some() { "TLS" } else { "clear text" }.to_owned();
    table(["LISTENER", "TRANSPORT"], config.listeners.iter().map(|it| [it.address.to_string(), tls(it)]))
}

/// Where other proxies ask, if anywhere.
fn authz_table(authz: &Authz) -> String {
    let rows = [("Envoy (gRPC)", &authz.grpc), ("forward-auth (HTTP)", &authz.http)];
    let rows = rows.into_iter().filter_map(|(how, address)| Some((how, address.as_ref()?)));
    let transport = |address: &AuthzAddress| match address {
        AuthzAddress::Unix(_) => "socket",
        AuthzAddress::Tcp(_) if authz.trust.tls.is_some() => "TLS",
        AuthzAddress::Tcp(_) => "clear text",
    };
    let rows = rows.map(|(how, address)| [address.to_string(), how.to_owned(), transport(address).to_owned()]);
    table(["AUTHORIZER", "ASKED BY", "TRANSPORT"], rows)
}

/// Where an issuer's keys come from. A query is left out: it may be a secret.
fn keys(issuer: &Issuer, source: &KeySource) -> String {
    let fetch = match source {
        KeySource::File => return format!("in a file, {}", count(issuer.keys.iter().count(), "key")),
        KeySource::Authority => return "the authority's".to_owned(),
        KeySource::Fetched(fetch) => fetch,
    };
    match &fetch.jwks_uri {
        None => format!("discovered at {}", issuer.iss),
        Some(uri) => format!("fetched from {}", uri.to_string().split('?').next().unwrap_or_default()),
    }
}

/// Who registers an issuer's clients, as the end of a sentence.
fn clients(registry: &RegistrySource) -> String {
    match registry {
        RegistrySource::None => String::new(),
        RegistrySource::Authority => ", and so are its clients".to_owned(),
        RegistrySource::Feed(feed) => format!("; clients as {} says", feed.url),
    }
}

fn row(snapshot: &Snapshot, matched: &Match, route: &Route) -> [String; 6] {
    let methods = matched.methods.named().unwrap_or_default().iter().map(|method| method.as_str());
    let methods = methods.collect::<Vec<_>>().join(",");
    let upstream = snapshot.upstreams.get(usize::from(route.upstream.0)).map(|upstream| upstream.name.to_string());
    let mode = match snapshot.mode_of(route) {
        Mode::Enforce => "enforce",
        Mode::Shadow => "shadow",
    };
    [
        if methods.is_empty() { "*".to_owned() } else { methods },
        matched.host.as_ref().map_or("*", |host| host.as_str()).to_owned(),
        matched.pattern.as_str().to_owned(),
        who(snapshot, &route.requirement),
        upstream.unwrap_or_default(),
        mode.to_owned(),
    ]
}

/// Who may call, in words: all parts have to hold.
fn who(snapshot: &Snapshot, requirement: &Requirement) -> String {
    let requirement = match requirement {
        Requirement::Public => return "anybody (public)".to_owned(),
        Requirement::Token(requirement) => requirement,
    };
    let TokenRequirement { scopes, any_scope, roles, token_kinds, issuers, clients, tenant_required } = requirement;
    let mut parts = Vec::new();
    let mut part = |words: Vec<&str>, one: &str, several: &str, joint: &str| match &*words {
        [] => {}
        [word] => parts.push(format!("{one} {word}")),
        words => parts.push(format!("{several} {}", words.join(joint))),
    };
    part(names(scopes, &snapshot.scopes), "scope", "scopes", " + ");
    part(names(any_scope, &snapshot.scopes), "scope", "a scope of", " | ");
    part(names(roles, &snapshot.role_names), "role", "a role of", " | ");
    let issuer_names = issuers.iter().flatten().filter_map(|id| snapshot.issuers.get(*id));
    part(issuer_names.map(|issuer| &*issuer.name).collect(), "issuer", "an issuer of", " | ");
    part(clients.iter().flatten().map(|client| &**client).collect(), "client", "a client of", " | ");
    let kinds = token_kinds.map(|kinds| [kinds.client.then_some("client"), kinds.user.then_some("user")]);
    part(kinds.into_iter().flatten().flatten().collect(), "token of a", "token of a", " | ");
    match tenant_required {
        Some(true) => part(vec!["required"], "tenant", "", ""),
        Some(false) => part(vec!["optional"], "tenant", "", ""),
        None => {}
    }
    if scopes.is_empty() && any_scope.is_empty() && roles.is_empty() {
        parts.insert(0, "any valid token".to_owned());
    }
    parts.join("; ")
}

fn names<'s>(ids: &[NameId], vocabulary: &'s Vocabulary) -> Vec<&'s str> {
    ids.iter().map(|id| vocabulary.name(*id)).collect()
}
