//! `identity`: what the backend is told, in headers that no client can send.

use std::collections::HashMap;

use http::HeaderName;

use crate::core::snapshot::{Authorization, ClaimRef, Identity, IdentitySource, TenantHeader};

use super::decode::Fields;
use super::keys;
use super::report::Report;
use super::scalar::{self, Flaw};
use super::source::Place;
use super::yaml::Node;

/// Fields that belong to the connection, to the framing of messages, or to what the gateway itself says. None of them can
/// carry an identity.
const RESERVED: &[&str] = &[
    "authorization",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

pub(super) fn decode(file: &Fields<'_>, report: &mut Report<'_>) -> Identity {
    let identity = report.field(file, "identity", |report, node| {
        let fields = report.fields(node, &keys::IDENTITY)?;
        let mut names = Names::default();
        let tenant = report.field(&fields, "tenant", |report, node| tenant(node, &mut names, report));
        let headers = report.field(&fields, "headers", |report, node| headers(node, &mut names, report));
        let choices = [("forward", Authorization::Forward), ("remove", Authorization::Remove)];
        let authorization = report.field(&fields, "authorization", |report, node| report.word(node, &choices));
        Some(Identity {
            tenant,
            headers: headers.unwrap_or_default().into(),
            authorization: authorization.unwrap_or_default(),
        })
    });
    identity.unwrap_or(Identity { tenant: None, headers: Box::default(), authorization: Authorization::Forward })
}

fn tenant(node: &Node<'_>, names: &mut Names, report: &mut Report<'_>) -> Option<TenantHeader> {
    let fields = report.fields(node, &keys::TENANT)?;
    let header = report.required(&fields, "header", |report, node| {
        let text = report.text(node, "the name of a header")?;
        names.header(text, node.place, report)
    });
    let required = report.field(&fields, "required", Report::boolean);
    let select = report.field(&fields, "select", Report::boolean);
    Some(TenantHeader { header: header?, required: required.unwrap_or(true), select: select.unwrap_or(false) })
}

fn headers(node: &Node<'_>, names: &mut Names, report: &mut Report<'_>) -> Option<Vec<(HeaderName, IdentitySource)>> {
    let entries = report.entries(node, "a mapping of headers to claims")?;
    let mut headers = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter(|entry| !entry.key.broken) {
        let header = names.header(&entry.key.text, entry.key.place, report);
        let source = report.parsed(&entry.value, "`client_id`, `scopes`, `roles` or a claim", source);
        headers.extend(header.zip(source));
    }
    Some(headers)
}

fn source(text: &str) -> Result<IdentitySource, Flaw> {
    Ok(match text {
        "client_id" => IdentitySource::ClientId,
        "scopes" => IdentitySource::Scopes,
        "roles" => IdentitySource::Roles,
        claim => IdentitySource::Claim(ClaimRef::parse(claim).map_err(|error| Flaw::new(error.to_string()))?),
    })
}

/// The identity headers so far, in the one spelling that stands for all that a backend could take for the same.
#[derive(Default)]
struct Names(HashMap<String, Place>);

impl Names {
    fn header(&mut self, text: &str, place: Place, report: &mut Report<'_>) -> Option<HeaderName> {
        let name = match scalar::header_name(text) {
            Ok(name) => name,
            Err(flaw) => {
                report.error(place, flaw.message).expected("expected the name of a header, such as X-Client-Id");
                return None;
            }
        };
        let folded = name.as_str().replace(['_', '.'], "-");
        if RESERVED.contains(&&*folded) {
            report
                .error(
                    place,
                    format!("`{folded}` cannot carry an identity: it is the gateway's own or the connection's"),
                )
                .hint("choose a name of your own, such as X-Client-Id");
        }
        if let Some(first) = self.0.insert(folded, place) {
            report
                .error(place, "a backend could take two of these headers for the same")
                .related(first, "the other one");
        }
        Some(name)
    }
}
