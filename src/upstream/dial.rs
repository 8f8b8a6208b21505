//! How a backend is connected to: TCP, then TLS where its URL says `https`, and what is spoken from there on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::error::BoxError;
use crate::config::{Endpoint, Scheme};
use crate::net::stream::Stream;
use crate::net::tls::{ClientTls, H2};

/// Dials one endpoint.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    scheme: Scheme,
    /// What an `https` endpoint is shown, and whose certificate it has to have.
    tls: Option<(ClientTls, ServerName<'static>)>,
}

/// The version of HTTP that is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Which versions an `https` backend is offered (RFC 7301). Where the scheme settles it, there is nothing to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offer {
    /// Both, the newer one first.
    Http2OrHttp1,
    /// HTTP/1.1, for a connection that is to become something else.
    Http1,
}

impl Dialer {
    /// For `endpoint`, whose upstream is shown what `tls` says.
    pub(super) fn new(endpoint: &Endpoint, tls: Option<&ClientTls>) -> Self {
        let host = endpoint.host.strip_suffix('.').unwrap_or(&endpoint.host);
        let name = ServerName::try_from(host.to_owned()).ok();
        Self { scheme: endpoint.scheme, tls: tls.cloned().zip(name) }
    }

    /// What is spoken, if that is known without having connected.
    pub(super) fn version(&self) -> Option<Version> {
        match self.scheme {
            Scheme::Http => Some(Version::Http1),
            Scheme::H2c => Some(Version::Http2),
            Scheme::Https => None,
        }
    }

    /// The scheme of the URLs of requests (RFC 9113 section 8.3.1).
    pub(super) fn uri_scheme(&self) -> http::uri::Scheme {
        match self.scheme {
            Scheme::Http | Scheme::H2c => http::uri::Scheme::HTTP,
            Scheme::Https => http::uri::Scheme::HTTPS,
        }
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// No connection, or none that can be trusted. The text is for the operator.
    pub(super) async fn dial(&self, address: SocketAddr, offer: Offer) -> Result<(Stream, Version), BoxError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match self.version() {
            Some(version) => Ok((stream.into(), version)),
            None => self.secure(stream, offer).await,
        }
    }

    async fn secure(&self, stream: TcpStream, offer: Offer) -> Result<(Stream, Version), BoxError> {
        let Some((tls, name)) = &self.tls else { return Err("the URL's host is no name for a certificate".into()) };
        let config = match offer {
            Offer::Http2OrHttp1 => &tls.http2_or_http1,
            Offer::Http1 => &tls.http1,
        };
        let stream = handshake(Arc::clone(config), name.clone(), stream).await.map_err(explain)?;
        // What was not offered cannot have been chosen: rustls sees to that.
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(H2);
        let version = if is_http2 { Version::Http2 } else { Version::Http1 };
        Ok((stream.into(), version))
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: TcpStream,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    TlsConnector::from(config).connect(name, stream).await
}

/// Says what is wrong in words that an operator can act on. What rustls says of a certificate quotes it; this does not.
fn explain(error: io::Error) -> BoxError {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet,
        NotValidYetContext, UnknownIssuer,
    };
    let meaning = match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(flaw)) => match flaw {
            Expired | ExpiredContext { .. } => "its certificate has expired",
            NotValidYet | NotValidYetContext { .. } => "its certificate is not valid yet",
            NotValidForName | NotValidForNameContext { .. } => "its certificate is for other names than the URL's host",
            UnknownIssuer => {
                "its certificate has an unknown issuer: trusted are those of `tls.ca_file`, or else the system's"
            }
            BadSignature => "its certificate is not signed by the key of the issuer that it names",
            _ => "its certificate cannot be trusted",
        },
        Some(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it asks for a client certificate, and `tls.certificate` has none"
        }
        Some(rustls::Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::BadCertificate)) => {
            "it does not accept the client certificate"
        }
        Some(rustls::Error::InvalidMessage(_)) => "it speaks no TLS",
        _ => return error.into(),
    };
    meaning.into()
}
