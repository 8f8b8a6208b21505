//! Decoding `authority`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Authority, CLIENT_ID_BYTES_MAX, CONTROL_SCOPE_PREFIX, CONTROL_SCOPES, Endpoint, GENERATED_ID_CHARACTERS};
use super::{is_client_id, storage};
use crate::config::decode::Fields;
use crate::config::files::Files;
use crate::config::limits::{SECONDS, positive_duration};
use crate::config::report::Report;
use crate::config::scalar::{self, Flaw};
use crate::config::source::Place;
use crate::config::yaml::Node;
use crate::config::{Listener, issuer, keys, url, words};
use crate::core::algorithm::Algorithm;
use crate::core::path::CanonicalPath;

const MAX_STALE: Duration = Duration::from_secs(15 * 60);
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const TOKEN_LIFETIME_SECONDS: std::ops::RangeInclusive<i64> = 1..=24 * 3600;
const ROTATE_KEYS: Duration = Duration::from_secs(30 * 24 * 3600);
const ALGORITHMS: &[(&str, Algorithm)] =
    &[("RS256", Algorithm::Rs256), ("ES256", Algorithm::Es256), ("EdDSA", Algorithm::EdDsa)];
const TOKEN_PATHS: [&str; 2] = ["/oauth2/token", "/connect/token"];
const ADMIN_SECRET_FILE: &str = "./admin-secret";

/// Decodes the section `authority`, if there is one. What it lacks because of a problem does not matter: there is no
/// configuration then.
pub(in crate::config) fn decode(
    file: &Fields<'_>,
    listeners: &[Listener],
    files: &mut Files<'_>,
    report: &mut Report<'_>,
) -> Option<(Authority, Place)> {
    let place = file.key_place("authority")?;
    let fields = report.fields(file.get("authority")?, &keys::AUTHORITY)?;
    let issuer = issuer(&fields, report);
    let key_encryption = storage::key_encryption(&fields, files, report);
    let storage = storage::decode(&fields, files, report);
    storage::check_encryption(&fields, storage.as_ref(), key_encryption.as_ref(), place, report);
    let token_lifetime = match fields.get("token_lifetime") {
        Some(node) => token_lifetime(report, node),
        None => Some(TOKEN_LIFETIME),
    };
    let authority = Authority {
        max_stale: report.field(&fields, "max_stale", positive_duration).unwrap_or(MAX_STALE),
        audience: audience(&fields, issuer.as_deref(), report).unwrap_or_default(),
        token_lifetime: token_lifetime.unwrap_or(TOKEN_LIFETIME),
        algorithm: report
            .field(&fields, "algorithm", |report, node| report.word(node, ALGORITHMS))
            .unwrap_or(Algorithm::Rs256),
        rotate_keys: rotate_keys(&fields, token_lifetime, report),
        client_id_prefix: report.field(&fields, "client_id_prefix", client_id_prefix).unwrap_or_default(),
        listeners: served_by(&fields, listeners, report),
        token_paths: token_paths(&fields, report),
        scope_prefix: scope_prefix(&fields, report),
        scopes: catalogue(&fields, report),
        admin_secret_file: admin_secret_file(&fields, files, report),
        issuer: issuer.unwrap_or_default(),
        key_encryption,
        storage: storage?,
    };
    Some((authority, place))
}

fn issuer(fields: &Fields<'_>, report: &mut Report<'_>) -> Option<Box<str>> {
    report.required(fields, "issuer", |report, node| {
        let (text, uri) = report.parsed(node, "a URL such as https://auth.example.com", |text| {
            let uri = url::root(text)?;
            Ok((text, uri))
        })?;
        if url::is_open(&uri) {
            let text =
                "an authority over http://: anybody on the way can read secrets and tokens, and put in keys of his own";
            report.warn(node.place, text);
        }
        Some(text.into())
    })
}

fn audience(fields: &Fields<'_>, issuer: Option<&str>, report: &mut Report<'_>) -> Option<Box<str>> {
    let Some(node) = fields.get("audience") else {
        let expected = "expected `audience: https://api.example.com`: what the tokens are for, in their `aud`";
        report.missing(fields, "audience", expected);
        return None;
    };
    let audience = report.parsed(node, "the value of `aud`", scalar::claim_value)?;
    if issuer == Some(&*audience) {
        // That one is the audience of tokens for the authority itself.
        report.warn(
            node.place,
            "`audience` is `issuer`: tokens that may change App Clients are accepted by routes as well",
        );
    }
    Some(audience)
}

fn token_lifetime(report: &mut Report<'_>, node: &Node<'_>) -> Option<Duration> {
    report.quantity(node, &format!("{SECONDS}, from 1s to 24h"), |text| {
        let seconds = scalar::whole_seconds(text)?;
        if !TOKEN_LIFETIME_SECONDS.contains(&seconds) {
            return Err(Flaw::new("out of range"));
        }
        Ok(Duration::from_secs(seconds.unsigned_abs()))
    })
}

/// A key signs no longer than it is published as the next one and as the last one: both take the lifetime of a token.
fn rotate_keys(fields: &Fields<'_>, token_lifetime: Option<Duration>, report: &mut Report<'_>) -> Duration {
    let node = fields.get("rotate_keys");
    let rotate_keys = node.and_then(|node| positive_duration(report, node)).unwrap_or(ROTATE_KEYS);
    if let Some(node) = node
        && token_lifetime.is_some_and(|lifetime| rotate_keys <= lifetime * 2)
    {
        let finding = report.error(node.place, "not longer than twice `token_lifetime`");
        if let Some(place) = fields.key_place("token_lifetime") {
            finding.related(place, "which is this");
        }
    }
    rotate_keys
}

fn client_id_prefix(report: &mut Report<'_>, node: &Node<'_>) -> Option<Box<str>> {
    report.parsed(node, "the beginning of a client id, such as wallet-acme-", |text| match text {
        "" => Ok("".into()),
        _ if text.len() + GENERATED_ID_CHARACTERS > CLIENT_ID_BYTES_MAX => {
            Err(Flaw::new("it leaves no place for the rest of an id, which has at most 128 characters"))
        }
        _ if !is_client_id(text) => Err(Flaw::new(
            "a client id consists of letters and digits, and behind the first of them of `.`, `_`, `~`, `@` and `-`",
        )),
        _ => Ok(text.into()),
    })
}

fn served_by(fields: &Fields<'_>, listeners: &[Listener], report: &mut Report<'_>) -> Box<[bool]> {
    let known: Vec<String> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    let Some(node) = fields.get("listeners") else { return known.iter().map(|_| true).collect() };
    let mut serves = vec![false; listeners.len()];
    report.list_of(node, "a list of addresses of `listeners`", |report, item| {
        let address = report.quantity(item, "the address of a listener", scalar::address)?;
        if !known.is_empty() && listeners.iter().all(|listener| listener.address != address) {
            let word = address.to_string();
            report.unknown_word(item.place, "no listener has this address", &word, known.iter().map(String::as_str));
        }
        for (serves, listener) in serves.iter_mut().zip(listeners) {
            *serves |= listener.address == address;
        }
        Some(())
    });
    serves.into()
}

fn token_paths(fields: &Fields<'_>, report: &mut Report<'_>) -> Box<[Box<str>]> {
    let Some(node) = fields.get("token_paths") else { return TOKEN_PATHS.map(Into::into).into() };
    let mut seen: Vec<(Box<str>, Place)> = Vec::new();
    report.list_of(node, "a list of paths", |report, item| {
        let path = report.parsed(item, "a path such as /oauth2/token", token_path)?;
        if let Some((_, first)) = seen.iter().find(|(other, _)| *other == path) {
            report.error(item.place, "the path is there twice").related(*first, "the other one");
        }
        seen.push((path, item.place));
        Some(())
    });
    seen.into_iter().map(|(path, _)| path).collect()
}

/// A path that every client sends and every proxy reads in the same way.
fn token_path(text: &str) -> Result<Box<str>, Flaw> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,=:@".contains(&byte);
    if let Some(at) = text.bytes().position(|byte| !plain(byte)) {
        return Err(Flaw::new("a character that has no place in a plain path").at(at..text.len()));
    }
    let path = CanonicalPath::parse(text).map_err(|_| {
        Flaw::new("not a plain path: it starts with `/`, and has no empty segments and none of `.` and `..`")
    })?;
    match path.as_str() {
        path if Endpoint::fixed(path).is_some() => Err(Flaw::new("the authority serves something else at this path")),
        path if path.ends_with('/') => Err(Flaw::new("the path ends in a slash")),
        path => Ok(path.into()),
    }
}

fn scope_prefix(fields: &Fields<'_>, report: &mut Report<'_>) -> Box<str> {
    let prefix = report.field(fields, "scope_prefix", |report, node| {
        report.parsed(node, "the beginning of a scope, such as acme/", issuer::scope_prefix)
    });
    prefix.unwrap_or_default()
}

fn catalogue(fields: &Fields<'_>, report: &mut Report<'_>) -> BTreeMap<Box<str>, Box<str>> {
    let entries = report
        .field(fields, "scopes", |report, node| report.entries(node, "a mapping of scopes to their descriptions"));
    let mut scopes: BTreeMap<Box<str>, Box<str>> = CONTROL_SCOPES.map(|(name, text)| (name.into(), text.into())).into();
    for entry in entries.unwrap_or_default().iter().filter(|entry| !entry.key.broken) {
        match scope(&entry.key.text) {
            Ok(name) => {
                let description = report.text(&entry.value, "a description of the scope").unwrap_or_default();
                scopes.insert(name, description.into());
            }
            Err(Flaw { message, hint, .. }) => {
                let finding = report.error(entry.key.place, message);
                if let Some(hint) = hint {
                    finding.hint(hint);
                }
            }
        }
    }
    scopes
}

fn scope(name: &str) -> Result<Box<str>, Flaw> {
    if name.starts_with(CONTROL_SCOPE_PREFIX) {
        let control = CONTROL_SCOPES.map(|(name, _)| name);
        let flaw = Flaw::new(format!("scopes that begin with `{CONTROL_SCOPE_PREFIX}` are Sidegate's own"));
        return Err(
            flaw.hint(format!("{} are there without being listed", words::or_list(control).replace(" or ", " and ")))
        );
    }
    scalar::scope(name).map_err(|flaw| Flaw { hint: None, ..flaw })
}

fn admin_secret_file(fields: &Fields<'_>, files: &Files<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    if fields.get("admin_secret_file").is_none() {
        return files.path(ADMIN_SECRET_FILE).ok();
    }
    report.field(fields, "admin_secret_file", |report, node| {
        report.parsed(node, "the path of a file to be written", |name| match files.path(name)? {
            path if path.is_dir() => Err(Flaw::new("a directory")),
            path => Ok(path),
        })
    })
}
