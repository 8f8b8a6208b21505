//! From text to a checked configuration: the one border between the two.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use crate::core::scope::{ADMIN_SCOPE, Role, Vocabulary};
use crate::core::snapshot::{Issuers, Mode, Snapshot, UpstreamPolicy};

use super::decode::Fields;
use super::env::Env;
use super::files::Files;
use super::issue::Diagnostics;
use super::issuer::MODES;
use super::issuers::Declared;
use super::report::Report;
use super::requirement::Names;
use super::scalar::Flaw;
use super::source::{BYTES_MAX, Place, Source};
use super::yaml::{self, Node};
use super::{
    Authority, Config, answers, authority, authz, identity, issuers, keys, limits, listeners, resource, roles, routes,
    scalar, upstreams,
};

const WORKERS_MAX: usize = 1024;

/// Reads the configuration in a file. `env` is the environment for `${NAME}`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path, env: Env<'_>) -> Result<Config, Diagnostics> {
    let name = path.display().to_string();
    let text = read(path).map_err(|message| Diagnostics::of_file(&name, message))?;
    let base = path.parent().unwrap_or(Path::new(""));
    from_text(&name, &text, base, env)
}

fn read(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| format!("cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().iter().take(error.utf8_error().valid_up_to());
        format!("line {} is not UTF-8", valid.filter(|byte| **byte == b'\n').count() + 1)
    })
}

/// The configuration that a text says. `name` is for messages; files it names are relative to `base`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn from_text(name: &str, text: &str, base: &Path, env: Env<'_>) -> Result<Config, Diagnostics> {
    if text.len() > BYTES_MAX {
        return Err(Diagnostics::of_file(name, "longer than 16 MiB"));
    }
    let source = Source::new(name, text);
    let mut report = Report::new(&source);
    let root = yaml::parse(&source, env, &mut report);
    let config = root.as_ref().and_then(|root| decode(root, base, &mut report));
    let warnings = match (report.finish(root.as_ref()), &config) {
        (Err(problems), Some(config)) => Err(Diagnostics { files: config.files.clone(), ..problems })?,
        (finished, _) => finished?,
    };
    let config = config.ok_or_else(|| Diagnostics::of_file(name, "the file is empty"))?;
    Ok(Config { warnings, hash: hash(text), ..config })
}

fn hash(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes section by section. What is made of a section with problems does not matter: they are in the report, and
/// with any problem there is no configuration.
fn decode(root: &Node<'_>, base: &Path, report: &mut Report<'_>) -> Option<Config> {
    let file = report.fields(root, &keys::FILE)?;
    let mut files = Files::new(base);
    let addresses = listeners::decode(&file, &mut files, report);
    let taken: Vec<_> = addresses.listeners.iter().map(|listener| listener.address).collect();
    let taken: Vec<_> = taken.into_iter().chain(addresses.admin).chain(addresses.health).collect();
    let authz = authz::decode(&file, &taken, &mut files, report);
    let limits = limits::decode(&file, report);
    let telemetry = limits::telemetry(&file, base, report);
    let mut issuers = issuers::decode(&file, &mut files, report);
    let authority = authority::decode(&file, &addresses.listeners, &mut files, report);
    if let Some((authority, place)) = &authority {
        issuers.add_authority(authority, *place, report);
    }
    let authority = authority.map(|(authority, _)| authority);
    let role_definitions = roles::decode(&file, report);
    let mut upstreams = upstreams::decode(&file, &mut files, report);
    let identity = identity::decode(&file, report);

    let (mut scopes, mut role_names) = vocabularies(&role_definitions, authority.as_ref());
    let mut names = Names {
        issuers: &mut issuers,
        scopes: &mut scopes,
        roles: &mut role_names,
        tenant_header: identity.tenant.is_some(),
        no_issuer_reported: false,
        authority: authority.as_ref(),
    };
    let table = routes::decode(&file, &mut upstreams, &mut names, report);

    if let Some(place) = addresses.exposed_admin {
        check_exposed_admin(place, &mut issuers, report);
    }
    upstreams.warn_unused(report);
    issuers.warn_unused(report);
    let resource = resource::decode(&file, report)
        .map(|identifier| identifier.compile(&issuers.all, table.iter().map(|(_, _, route)| route), &scopes));
    let policy = |upstream: &super::Upstream| UpstreamPolicy { name: upstream.name.clone(), paths: upstream.paths };
    let snapshot = Snapshot {
        number: 1,
        mode: mode(&file, report),
        routes: table.into(),
        issuers: Issuers::new(issuers.all),
        scopes: scopes.into(),
        role_names: role_names.into(),
        roles: role_definitions.into(),
        identity,
        upstreams: upstreams.all.iter().map(policy).collect(),
        errors: answers::errors(&file, report),
        resource,
        cors: answers::cors(&file, report),
        trusted_proxies: trusted_proxies(&file, report).into(),
        token_bytes_max: limits.token_bytes_max,
        body_bytes_max: limits.body_bytes_max,
    };
    Some(Config {
        authority: authority.map(Arc::new),
        registries: issuers.registries,
        listeners: addresses.listeners,
        admin: addresses.admin,
        health: addresses.health,
        authz,
        workers: workers(&file, report),
        upstreams: upstreams.all,
        limits: limits.connections,
        telemetry,
        key_sources: issuers.key_sources,
        state_dir: state_dir(&file, &files, report),
        snapshot,
        warnings: Vec::new(),
        hash: String::new(),
        files: files.paths,
    })
}

/// The scopes and roles that are known before any route names one.
fn vocabularies(roles: &HashMap<Box<str>, Role>, authority: Option<&Authority>) -> (Vocabulary, Vocabulary) {
    let (mut scopes, mut role_names) = (Vocabulary::default(), Vocabulary::default());
    scopes.intern(ADMIN_SCOPE);
    if authority.is_some() {
        for (scope, _) in authority::CONTROL_SCOPES {
            scopes.intern(scope);
        }
    }
    for (name, role) in roles {
        role_names.intern(name);
        for scope in &role.scopes {
            scopes.intern(scope);
        }
    }
    (scopes, role_names)
}

/// Off loopback the admin listener asks for a token: somebody has to be able to show one.
fn check_exposed_admin(place: Place, issuers: &mut Declared<'_>, report: &mut Report<'_>) {
    if issuers.is_missing() {
        report
            .error(place, "the admin listener can be reached from other machines, and nobody could show it a token")
            .expected("expected a loopback address, or a section `issuers` or `authority`");
    }
    issuers.use_all();
}

fn mode(file: &Fields<'_>, report: &mut Report<'_>) -> Mode {
    let mode = report.field(file, "mode", |report, node| report.word(node, MODES)).unwrap_or_default();
    if let Some(place) = file.key_place("mode").filter(|_| mode == Mode::Shadow) {
        report.warn(place, "`mode: shadow`: no request is refused for its token, on any route");
    }
    mode
}

fn workers(file: &Fields<'_>, report: &mut Report<'_>) -> Option<NonZeroUsize> {
    report.field(file, "workers", |report, node| report.number(node, 1..=WORKERS_MAX)).and_then(NonZeroUsize::new)
}

fn state_dir(file: &Fields<'_>, files: &Files<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    report.field(file, "state_dir", |report, node| {
        report.parsed(node, "the path of a directory", |name| match files.path(name)? {
            path if path.exists() && !path.is_dir() => Err(Flaw::new(format!("{} is not a directory", path.display()))),
            path => Ok(path),
        })
    })
}

fn trusted_proxies(file: &Fields<'_>, report: &mut Report<'_>) -> Vec<IpNet> {
    let networks = report.field(file, "trusted_proxies", |report, node| {
        report.list_of(node, "a list of networks", |report, item| {
            let network = report.parsed(item, "a network such as 10.0.0.0/8", scalar::network)?;
            if network.prefix_len() == 0 {
                report.warn(item.place, format!("`{network}`: anybody's `X-Forwarded-*` is believed"));
            }
            Some(network)
        })
    });
    networks.unwrap_or_default()
}
