//! `issuers[].registry`: the client registry of another Sidegate, which is followed.

use super::authority::RegistryFeed;
use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::yaml::Node;
use super::{RegistrySource, keys, scalar, secret, url};

/// Decodes who registers an issuer's clients.
pub(super) fn decode(issuer: &Fields<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<RegistrySource> {
    match issuer.get("registry") {
        Some(node) => Some(RegistrySource::Feed(feed(node, files, report)?)),
        // A misspelt `registry` has been reported, and is not taken for none.
        None => (!issuer.may_have("registry")).then_some(RegistrySource::None),
    }
}

fn feed(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<RegistryFeed> {
    let fields = report.fields(node, &keys::REGISTRY)?;
    let url = report.required(&fields, "url", |report, node| {
        let url = report.parsed(node, "the URL of a listener of the other Sidegate", url::base)?;
        if url::is_open(&url) {
            let text = "a registry over http://: anybody on the way can read the client's secret, and hide revocations";
            report.warn(node.place, text);
        }
        Some(url)
    });
    let client_id =
        report.required(&fields, "client_id", |report, node| report.parsed(node, "a client id", scalar::claim_value));
    let client_secret = report.required(&fields, "client_secret_file", |report, node| {
        report.secret_file(node, "the path of a file with the client's secret", "the secret", files, secret::text)
    });
    Some(RegistryFeed { url: url?, client_id: client_id?, client_secret: client_secret? })
}
