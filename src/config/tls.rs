//! `listeners[].tls` and `upstreams.NAME.tls`: certificates, private keys and roots, from files.

use rustls::RootCertStore;

use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::source::Place;
use super::yaml::Node;
use super::{Endpoint, Scheme, certificate, keys, pem};
use crate::net::tls::{self, ClientAuth, ClientTls, Identity, ServerTls};

const ROOTS: &str = "a PEM file with one certificate or more";

/// Decodes `listeners[].tls`.
pub(super) fn server(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<ServerTls> {
    let fields = report.fields(node, &keys::LISTENER_TLS)?;
    let before = report.problems();
    let identity = identity(&fields, files, report);
    let client_auth = client_auth(&fields, files, report);
    if report.problems() != before {
        return None;
    }
    let identity = identity?;
    if let (Some(place), Some(doubt)) = (fields.key_place("certificate"), certificate::doubt(&identity.chain)) {
        report.warn(place, doubt);
    }
    ServerTls::new(identity, client_auth).map_err(|error| report.error(node.place, error.to_string())).ok()
}

fn client_auth(fields: &Fields<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<ClientAuth> {
    let words = [("optional", false), ("required", true)];
    let required = report.field(fields, "client_certificate", |report, node| report.word(node, &words));
    if let Some(place) = fields.key_place("client_certificate").filter(|_| !fields.may_have("client_ca")) {
        report.error(place, "nobody could have signed one").expected("expected a key `client_ca` beside it");
    }
    let roots = report.field(fields, "client_ca", |report, node| roots(node, files, report))?;
    // Whoever names the signers and nothing else does not mean that anybody may come without.
    Some(ClientAuth { roots, required: required.unwrap_or(true) })
}

/// What upstreams are shown, and what the operating system trusts.
#[derive(Default)]
pub(super) struct Clients {
    system_roots: Option<RootCertStore>,
}

impl Clients {
    /// Decodes `upstreams.NAME.tls`, which only an upstream with an `https` URL can have, and which is made for each.
    /// `endpoints` are `None` if its URLs have problems.
    pub(super) fn decode(
        &mut self,
        upstream: &Fields<'_>,
        endpoints: Option<&[Endpoint]>,
        files: &mut Files<'_>,
        report: &mut Report<'_>,
    ) -> Option<ClientTls> {
        let is_https = endpoints.map(|all| all.iter().any(|endpoint| endpoint.scheme == Scheme::Https));
        if let Some(place) = upstream.key_place("tls").filter(|_| is_https == Some(false)) {
            report.error(place, "none of this upstream's `urls` is https://");
        }
        let before = report.problems();
        let settings = report.field(upstream, "tls", |report, node| settings(node, files, report));
        if is_https != Some(true) || report.problems() != before {
            return None;
        }
        let Settings { roots, identity } = settings.unwrap_or_default();
        let roots = roots.unwrap_or_else(|| self.system_roots.get_or_insert_with(tls::system_roots).clone());
        ClientTls::new(roots, identity).map_err(|error| report.error(upstream.place, error.to_string())).ok()
    }
}

#[derive(Default)]
struct Settings {
    roots: Option<RootCertStore>,
    identity: Option<Identity>,
}

fn settings(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<Settings> {
    let fields = report.fields(node, &keys::UPSTREAM_TLS)?;
    let roots = report.field(&fields, "ca_file", |report, node| roots(node, files, report));
    let has_identity = fields.get("certificate").is_some() || fields.get("private_key").is_some();
    let identity = if has_identity { identity(&fields, files, report) } else { None };
    Some(Settings { roots, identity })
}

fn roots(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<RootCertStore> {
    report.parsed(node, ROOTS, |name| pem::roots(&files.read(name)?))
}

/// `certificate` and `private_key`, which belong together.
fn identity(fields: &Fields<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<Identity> {
    let chain = report.required(fields, "certificate", |report, node| {
        report.parsed(node, "a PEM file with a certificate and those that lead to its root", |name| {
            pem::chain(&files.read(name)?)
        })
    });
    let key = report.required(fields, "private_key", |report, node| {
        let (key, is_world_readable) = report.parsed(node, "a PEM file with a private key", |name| {
            let content = files.read(name)?;
            Ok((pem::private_key(&content)?, content.is_world_readable))
        })?;
        if is_world_readable {
            report.warn(node.place, "every user of this machine can read the private key");
        }
        Some(key)
    });
    let identity = Identity { chain: chain?, key: key? };
    let place = |key| fields.get(key).map(|node| node.place);
    check_pair(&identity, place("certificate")?, place("private_key")?, report);
    Some(identity)
}

fn check_pair(identity: &Identity, chain: Place, key: Place, report: &mut Report<'_>) {
    match certificate::position_of_key(identity) {
        Err(error) => {
            report.error(key, error);
        }
        Ok(Some(0)) => {}
        Ok(Some(_)) => {
            report
                .error(chain, "the certificate of the private key has to be the first in the file")
                .related(key, "the private key");
        }
        Ok(None) => {
            report.error(key, "not the private key of the certificate").related(chain, "the certificate");
        }
    }
}
