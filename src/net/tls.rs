//! TLS, by rustls: what a listener shows its clients, and what an upstream is shown.
//!
//! Both are made once, when the configuration is loaded, from what its files hold; they are compared by that, so that
//! connections survive a reload which changes nothing of it.

use std::fmt;
use std::sync::Arc;

use ::aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// ALPN of HTTP/2 (RFC 9113 section 3.1).
pub const H2: &[u8] = b"h2";
/// ALPN of HTTP/1.1 (RFC 7301 section 6).
pub const HTTP_11: &[u8] = b"http/1.1";

/// What a listener offers, the best first.
const SERVER_PROTOCOLS: [&[u8]; 2] = [H2, HTTP_11];

/// Why keys, certificates and roots do not make a TLS configuration. The text names no content of a file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// They do not fit together, or rustls does not take them.
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
    /// The roots for client certificates cannot be used.
    #[error("{0}")]
    ClientRoots(#[from] rustls::server::VerifierBuilderError),
}

/// A certificate chain and its private key.
#[derive(Debug)]
pub struct Identity {
    /// The chain, the end entity's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
}

/// Which client certificates a listener asks for.
#[derive(Debug)]
pub struct ClientAuth {
    /// Who has to have signed them.
    pub roots: RootCertStore,
    /// Whether a client without one is refused.
    pub required: bool,
}

/// What a listener shows its clients.
#[derive(Clone)]
pub struct ServerTls {
    /// For a handshake.
    pub config: Arc<ServerConfig>,
    fingerprint: Fingerprint,
}

/// What an upstream is shown.
#[derive(Clone)]
pub struct ClientTls {
    /// For a connection that may become HTTP/2.
    pub http2_or_http1: Arc<ClientConfig>,
    /// For a connection that has to be HTTP/1.1.
    pub http1: Arc<ClientConfig>,
    fingerprint: Fingerprint,
}

/// SHA-256 of all that a configuration was made from.
type Fingerprint = [u8; 32];

impl ServerTls {
    /// For a listener.
    ///
    /// # Errors
    /// The key is not the certificate's, or something of it cannot be used.
    pub fn new(identity: Identity, client_auth: Option<ClientAuth>) -> Result<Self, TlsError> {
        let mut content = Content::default();
        content.identity(&identity);
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match client_auth {
            None => builder.with_no_client_auth(),
            Some(auth) => builder.with_client_cert_verifier(verifier(auth, &mut content)?),
        };
        let Identity { chain, key } = identity;
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = SERVER_PROTOCOLS.map(<[u8]>::to_vec).into();
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Self { config: Arc::new(config), fingerprint: content.finish() })
    }
}

impl ClientTls {
    /// For an upstream whose certificate has to be signed by one of `roots`.
    ///
    /// # Errors
    /// The key is not the certificate's, or something of it cannot be used.
    pub fn new(roots: RootCertStore, identity: Option<Identity>) -> Result<Self, TlsError> {
        let mut content = Content::default();
        content.roots(&roots);
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = builder.with_root_certificates(roots);
        let http1 = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                content.identity(&identity);
                builder.with_client_auth_cert(identity.chain, identity.key)?
            }
        };
        let with_protocols = |protocols: &[&[u8]]| {
            let mut config = http1.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        Ok(Self {
            http2_or_http1: with_protocols(&[H2, HTTP_11]),
            http1: with_protocols(&[HTTP_11]),
            fingerprint: content.finish(),
        })
    }
}

/// The roots of the operating system, or Mozilla's where it has none, as in an image from scratch.
#[must_use]
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn verifier(auth: ClientAuth, content: &mut Content) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let ClientAuth { roots, required } = auth;
    content.roots(&roots);
    content.add(&[u8::from(required)]);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    Ok(if required { builder } else { builder.allow_unauthenticated() }.build()?)
}

/// Gathers what a configuration is made from.
struct Content(Context);

impl Default for Content {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Content {
    fn identity(&mut self, identity: &Identity) {
        for certificate in &identity.chain {
            self.add(certificate);
        }
        self.add(identity.key.secret_der());
    }

    fn roots(&mut self, roots: &RootCertStore) {
        for root in &roots.roots {
            self.add(&root.subject);
            self.add(&root.subject_public_key_info);
            self.add(root.name_constraints.as_deref().unwrap_or_default());
        }
    }

    fn add(&mut self, part: &[u8]) {
        self.0.update(&part.len().to_be_bytes());
        self.0.update(part);
    }

    fn finish(self) -> Fingerprint {
        self.0.finish().as_ref().try_into().unwrap_or_default()
    }
}

impl PartialEq for ServerTls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for ServerTls {}

impl PartialEq for ClientTls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl Eq for ClientTls {}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}
