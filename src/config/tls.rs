//! `listeners[].tls` and `upstreams.NAME.tls`: certificates, private keys and roots, from files.

use rustls::RootCertStore;

use super::certificate::Role;
use super::decode::Fields;
use super::files::Files;
use super::report::Report;
use super::source::Place;
use super::yaml::Node;
use super::{Endpoint, Scheme, certificate, keys, pem};
use crate::net::tls::{self, ClientAuth, ClientTls, Identity, ServerTls};

const CHAIN: &str = "the path of a PEM file: a certificate, and behind it those that lead to a root";
const PRIVATE_KEY: &str = "the path of a PEM file: one private key";
const ROOTS: &str = "the path of a PEM file: certificates of those who sign others";

/// Decodes `listeners[].tls`.
pub(super) fn server(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<ServerTls> {
    let fields = report.fields(node, &keys::LISTENER_TLS)?;
    let before = report.problems();
    let identity = identity(&fields, Role::Server, files, report);
    let client_auth = client_auth(&fields, files, report);
    if report.problems() != before {
        return None;
    }
    ServerTls::new(identity?, client_auth).map_err(|error| report.error(node.place, error.to_string())).ok()
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

/// Makes what upstreams are shown.
pub(super) struct Clients<'f, 'b> {
    files: &'f mut Files<'b>,
    /// Those of the operating system, once any upstream needs them.
    system_roots: Option<RootCertStore>,
}

impl<'f, 'b> Clients<'f, 'b> {
    pub(super) fn new(files: &'f mut Files<'b>) -> Self {
        Self { files, system_roots: None }
    }

    /// Decodes `upstreams.NAME.tls`, which is for upstreams with an `https` URL. These have a `ClientTls`, with the
    /// section or without it. `endpoints` is `None` if the URLs have problems.
    pub(super) fn decode(
        &mut self,
        upstream: &Fields<'_>,
        endpoints: Option<&[Endpoint]>,
        report: &mut Report<'_>,
    ) -> Option<ClientTls> {
        let is_https = endpoints.map(|all| all.iter().any(|endpoint| endpoint.scheme == Scheme::Https));
        if let Some(place) = upstream.key_place("tls").filter(|_| is_https == Some(false)) {
            report.error(place, "none of this upstream's `urls` is https://");
        }
        let before = report.problems();
        let settings = report.field(upstream, "tls", |report, node| settings(node, self.files, report));
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
    let identity = if has_identity { identity(&fields, Role::Client, files, report) } else { None };
    Some(Settings { roots, identity })
}

fn roots(node: &Node<'_>, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<RootCertStore> {
    report.file(node, ROOTS, files, pem::roots)
}

/// `certificate` and `private_key`, which belong together.
fn identity(fields: &Fields<'_>, role: Role, files: &mut Files<'_>, report: &mut Report<'_>) -> Option<Identity> {
    let chain = report.required(fields, "certificate", |report, node| {
        let chain = report.file(node, CHAIN, files, pem::chain)?;
        if let Some(doubt) = certificate::doubt(&chain, role) {
            report.warn(node.place, doubt);
        }
        Some((chain, node.place))
    });
    let key = report.required(fields, "private_key", |report, node| {
        let key = report.secret_file(node, PRIVATE_KEY, "the private key", files, pem::private_key)?;
        Some((key, node.place))
    });
    let ((chain, chain_place), (key, key_place)) = (chain?, key?);
    let identity = Identity { chain, key };
    check_pair(&identity, chain_place, key_place, report);
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
