//! TLS handshakes with clients.
//!
//! One costs a worker up to a millisecond of its only thread (the signature of an RSA key), a request some ten
//! microseconds. When a thousand clients come back at once, requests on old connections would wait for all of them. So
//! handshakes take turns: after each, all else that is ready is served. What has a turn is the computation alone. A bound on
//! handshakes under way would be one that clients who just stay silent use up; those are bounded by their time, and by
//! the number of connections.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::drain::Drain;
use super::stream::Stream;

/// The handshakes of one worker.
#[derive(Debug)]
pub struct Handshakes {
    turns: Semaphore,
}

/// What a client that begins to speak turns out to speak.
#[derive(Debug)]
pub enum Opened {
    /// TLS, and the handshake is over.
    Tls(Stream),
    /// Something that starts with a letter, which is HTTP without TLS. Nothing of it was read.
    PlainHttp(Stream),
}

/// Why there is no TLS. The texts are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client said nothing at all: a probe of the port, or a connection made for later use.
    #[error("the client did not begin")]
    Silent,
    /// It began, and did not end in time.
    #[error("the handshake did not end in time")]
    TooSlow,
    /// The two sides did not come to an agreement, or the connection failed.
    #[error(transparent)]
    Failed(io::Error),
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { turns: Semaphore::new(1) }
    }
}

impl Handshakes {
    /// Shakes hands. A client that has not begun when the worker drains is not waited for.
    ///
    /// # Errors
    /// [`HandshakeError`]; the client has been told by an alert, and the connection is over.
    pub async fn open(
        &self,
        tcp: TcpStream,
        config: Arc<ServerConfig>,
        within: Duration,
        drain: &Drain,
    ) -> Result<Opened, HandshakeError> {
        let deadline = Instant::now() + within;
        let first = tokio::select! {
            biased;
            first = timeout_at(deadline, first_byte(&tcp)) => first.ok().flatten(),
            () = drain.started() => None,
        };
        // The first byte of TLS is the type of a record (RFC 8446 section 5.1), of which none is a letter.
        if first.ok_or(HandshakeError::Silent)?.is_ascii_alphabetic() {
            return Ok(Opened::PlainHttp(tcp.into()));
        }
        let shaken = timeout_at(deadline, self.shake(tcp, config)).await.map_err(|_| HandshakeError::TooSlow)?;
        match shaken {
            Ok(tls) => Ok(Opened::Tls(tls.into())),
            Err((error, tcp)) => {
                if let Some(tcp) = tcp {
                    // So that the client gets to read the alert.
                    Stream::from(tcp).linger().await;
                }
                Err(HandshakeError::Failed(error))
            }
        }
    }

    async fn shake(
        &self,
        tcp: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
        let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), tcp);
        let hello = match (&mut acceptor).await {
            Ok(hello) => hello,
            Err(error) => return Err((error, acceptor.take_io())),
        };
        let turn = self.turns.acquire().await;
        // Computes all of our side's share.
        let handshake = hello.into_stream(config);
        yield_now().await;
        drop(turn);
        handshake.into_fallible().await.map_err(|(error, tcp)| (error, Some(tcp)))
    }
}

/// The first byte that comes, which stays where it is; `None` if nothing does before the end.
async fn first_byte(tcp: &TcpStream) -> Option<u8> {
    let mut first = [0];
    let read = tcp.peek(&mut first).await.ok()?;
    (read > 0).then_some(first[0])
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, LocalOptions};
    use tokio::task::spawn_local;

    use super::*;

    const CLIENTS: usize = 40;

    /// Counts how often a certificate is asked for, which is once in each handshake, in the computation.
    #[derive(Debug)]
    struct Counting {
        key: Arc<CertifiedKey>,
        asked: AtomicUsize,
    }

    impl ResolvesServerCert for Counting {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Some(Arc::clone(&self.key))
        }
    }

    fn counting() -> (Arc<Counting>, Arc<ServerConfig>) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let key = Arc::new(CertifiedKey::from_der(vec![cert.der().clone()], key, &provider).unwrap());
        let counting = Arc::new(Counting { key, asked: AtomicUsize::new(0) });
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        (Arc::clone(&counting), Arc::new(builder.with_no_client_auth().with_cert_resolver(counting)))
    }

    /// What a client of TLS says first.
    fn hello() -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from("a").unwrap()).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn clients_who_come_all_at_once_leave_others_their_turn() {
        let (counting, config) = counting();
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (hello, mut accepted, mut clients) = (hello(), Vec::new(), Vec::new());
            for _ in 0..CLIENTS {
                let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                client.write_all(&hello).await.unwrap();
                clients.push(client);
                accepted.push(listener.accept().await.unwrap().0);
            }
            let (handshakes, mut longest) = (Rc::new(Handshakes::default()), 0);
            for tcp in accepted {
                let (handshakes, config) = (Rc::clone(&handshakes), Arc::clone(&config));
                spawn_local(async move {
                    let _ = handshakes.open(tcp, config, Duration::from_secs(5), &Drain::default()).await;
                });
            }
            let mut before = 0;
            while before < CLIENTS {
                yield_now().await;
                let asked = counting.asked.load(Ordering::Relaxed);
                longest = longest.max(asked - before);
                before = asked;
            }
            assert_eq!(longest, 1, "handshakes at a stretch");
        });
    }
}
