//! A client that speaks TLS and sends, in it, exactly the bytes it is given.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned, SupportedProtocolVersion};

use super::PATIENCE;
use super::certificates::{Authority, Issued};
use super::client::Client;

/// Whom a client trusts and who it is. Remembers sessions.
#[derive(Clone)]
pub(crate) struct Dialer(Arc<ClientConfig>);

impl Dialer {
    /// Trusts `authority`, and shows `identity`.
    pub(crate) fn new(authority: &Authority, identity: Option<&Issued>) -> Self {
        Self::with_versions(authority, identity, rustls::ALL_VERSIONS)
    }

    pub(crate) fn with_versions(
        authority: &Authority,
        identity: Option<&Issued>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let builder = builder.with_root_certificates(authority.roots());
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.pair();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self(Arc::new(config))
    }

    /// A new connection, after its handshake.
    pub(crate) fn connect(&self, address: SocketAddr) -> Client<TlsStream> {
        self.try_connect(address).unwrap_or_else(|error| panic!("no TLS with {address}: {error}"))
    }

    /// A new connection, as far as this side is concerned: with TLS 1.3 the other one may still refuse it.
    pub(crate) fn try_connect(&self, address: SocketAddr) -> io::Result<Client<TlsStream>> {
        let stream = self.open(address)?;
        Ok(Client::over(stream.clone(), stream))
    }

    /// The stream of a new connection.
    pub(crate) fn open(&self, address: SocketAddr) -> io::Result<TlsStream> {
        let mut tcp = TcpStream::connect_timeout(&address, PATIENCE)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut tcp)?;
        }
        Ok(TlsStream(Rc::new(RefCell::new(StreamOwned::new(tls, tcp)))))
    }
}

/// A stream in TLS. Its clones are the same stream.
#[derive(Clone)]
pub(crate) struct TlsStream(Rc<RefCell<StreamOwned<ClientConnection, TcpStream>>>);

impl TlsStream {
    /// Whether the handshake was a short one.
    pub(crate) fn is_resumed(&self) -> bool {
        self.0.borrow().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the other side has shown.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.borrow().conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// Reads up to the end; `Ok` only if it was a clean one, by a close_notify.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Read::read_to_end(self, &mut all).map(|_| all)
    }

    /// Ends our side as somebody does who cuts the line: with a FIN, and without close_notify.
    pub(crate) fn cut(&self) {
        let _ = self.0.borrow().sock.shutdown(Shutdown::Write);
    }
}

impl Read for TlsStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buffer)
    }
}

impl Write for TlsStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}
