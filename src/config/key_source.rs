//! `issuers[].keys`: where an issuer's keys come from.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;

use crate::core::keyset::Keyset;

use super::decode::Fields;
use super::files::Files;
use super::limits::{SECONDS, positive_duration};
use super::report::Report;
use super::scalar::{self, Flaw};
use super::source::Place;
use super::yaml::Node;
use super::{KeyFetch, KeySource, keys, url};

const REFRESH: Duration = Duration::from_secs(5 * 60);
const REFRESH_MIN: Duration = Duration::from_secs(1);
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);

/// Where an issuer's keys come from, and those that are there already.
pub(super) type Found = (KeySource, Arc<Keyset>);

/// Decodes the keys of an issuer. `iss` is what its `issuer` says, if that can be used.
pub(super) fn decode(
    issuer: &Fields<'_>,
    iss: Option<&str>,
    files: &mut Files<'_>,
    report: &mut Report<'_>,
) -> Option<Found> {
    let iss = issuer.get("issuer").zip(iss);
    let Some(node) = issuer.get("keys") else {
        // A misspelt `keys` has been reported, and is not taken for none.
        return if issuer.may_have("keys") { None } else { discovered(iss, Times::default(), report) };
    };
    let fields = report.fields(node, &keys::KEYS)?;
    let times = Times::decode(&fields, report);
    match (fields.get("jwks_file"), fields.get("jwks_uri")) {
        (Some(file), _) => {
            refuse_beside_a_file(&fields, file.place, report);
            in_file(file, files, report)
        }
        (None, Some(node)) => {
            let uri = report.parsed(node, "the URL of a JSON Web Key Set (RFC 7517)", url::fetchable)?;
            warn_if_open(node.place, &uri, report);
            Some(times.fetch(Some(uri)))
        }
        (None, None) if fields.may_have("jwks_file") || fields.may_have("jwks_uri") => None,
        (None, None) => discovered(iss, times, report),
    }
}

fn refuse_beside_a_file(fields: &Fields<'_>, file: Place, report: &mut Report<'_>) {
    for (key, message) in [
        ("jwks_uri", "the keys come from a file or from a URL, not from both"),
        ("refresh", "keys in a file are not fetched: they are read when the file changes"),
        ("max_stale", "keys in a file are not fetched: they serve for as long as they are there"),
    ] {
        if let Some(place) = fields.key_place(key) {
            report.error(place, message).related(file, "the file");
        }
    }
}

fn in_file(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<Found> {
    let keys = report.file(node, "the path of a JSON Web Key Set (RFC 7517)", files, |content| {
        Keyset::parse(&content.bytes).map_err(|error| content.flaw(error.to_string()))
    })?;
    for ignored in keys.ignored() {
        report.warn(node.place, format!("a key is not used: {ignored}"));
    }
    Some((KeySource::File, Arc::new(keys)))
}

/// The keys are where the issuer's metadata says, which is found by the issuer's name.
fn discovered(iss: Option<(&Node<'_>, &str)>, times: Times, report: &mut Report<'_>) -> Option<Found> {
    let (node, iss) = iss?;
    match url::discoverable(iss) {
        Ok(uri) => {
            warn_if_open(node.place, &uri, report);
            Some(times.fetch(None))
        }
        Err(flaw) => {
            let message = format!("its keys cannot be discovered: {}", flaw.message);
            let hint = Some("say where they are: `keys: { jwks_uri: … }` or `keys: { jwks_file: … }`".to_owned());
            report.flaw(
                node,
                iss,
                Flaw { message, hint, ..flaw },
                "a URL, as there is no `jwks_uri` and no `jwks_file`",
            );
            None
        }
    }
}

fn warn_if_open(place: Place, uri: &Uri, report: &mut Report<'_>) {
    if url::is_open(uri) {
        report.warn(place, "keys over http://: anybody on the way can put their own in place of the issuer's");
    }
}

/// How often keys are fetched, and how long they serve.
struct Times {
    refresh: Duration,
    max_stale: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { refresh: REFRESH, max_stale: MAX_STALE }
    }
}

impl Times {
    fn decode(fields: &Fields<'_>, report: &mut Report<'_>) -> Self {
        let refresh = report.field(fields, "refresh", |report, node| {
            report.quantity(node, &format!("{SECONDS}, and at least 1s"), refresh)
        });
        let max_stale = report.field(fields, "max_stale", positive_duration);
        let times = Self { refresh: refresh.unwrap_or(REFRESH), max_stale: max_stale.unwrap_or(MAX_STALE) };
        if let Some(place) = fields.key_place("max_stale").or(fields.key_place("refresh"))
            && times.max_stale < times.refresh
        {
            report
                .warn(place, "`max_stale` is shorter than `refresh`: a single failed fetch, and no token is accepted");
        }
        times
    }

    fn fetch(self, jwks_uri: Option<Uri>) -> Found {
        let Self { refresh, max_stale } = self;
        (KeySource::Fetched(KeyFetch { jwks_uri, refresh, max_stale }), Arc::default())
    }
}

fn refresh(text: &str) -> Result<Duration, Flaw> {
    match scalar::duration(text)? {
        short if short < REFRESH_MIN => Err(Flaw::new("shorter than 1s, which is the shortest there is")),
        refresh => Ok(refresh),
    }
}
