//! Backends with TLS: what is spoken, who is trusted, and what an operator is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair, SanType, date_time_ymd};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::harness::*;
use crate::config::{HealthCheck, HttpUpstream, Scheme};
use crate::net::tls::{ClientAuth, ClientTls, H2, HTTP_11, Identity, ServerTls};
use crate::upstream::{UpstreamErrorKind, check_forever};

/// Who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        Self::named("trusted")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        roots
    }

    /// A certificate for 127.0.0.1, changed by `change`.
    fn identity(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Identity { chain: vec![certificate.der().clone()], key }
    }

    fn upstream(&self, address: SocketAddr) -> HttpUpstream {
        https(address, ClientTls::new(self.roots(), None).unwrap())
    }
}

fn https(address: SocketAddr, tls: ClientTls) -> HttpUpstream {
    let mut config = upstream(&[address]);
    config.endpoints[0].scheme = Scheme::Https;
    config.tls = Some(tls);
    config
}

/// A backend that says what it speaks. `protocols` is what it offers by ALPN.
async fn backend(identity: Identity, client_auth: Option<ClientAuth>, protocols: &[&[u8]]) -> SocketAddr {
    let mut config = (*ServerTls::new(identity, client_auth).unwrap().config).clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::task::spawn_local(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream).await;
                }
            });
        }
    });
    address
}

async fn serve(mut stream: TlsStream<TcpStream>) {
    if stream.get_ref().1.alpn_protocol() == Some(H2) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            assert_eq!(request.uri().scheme_str(), Some("https"));
            let mut body = respond.send_response(http::Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"h2"), true).unwrap();
        }
        return;
    }
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh1").await.unwrap();
        }
    }
}

#[test]
fn alpn_settles_what_is_spoken() {
    for (protocols, spoken) in [(&[H2, HTTP_11][..], "h2"), (&[HTTP_11], "h1"), (&[], "h1")] {
        worker(async move {
            let authority = Authority::new();
            let address = backend(authority.identity(|_| {}), None, protocols).await;
            let worker = std::rc::Rc::new(Worker::new(authority.upstream(address)));
            // At the same time, when nobody knows as yet.
            let mut requests = JoinSet::new();
            for _ in 0..10 {
                let worker = std::rc::Rc::clone(&worker);
                requests.spawn_local(async move { worker.get().await.unwrap() });
            }
            assert_eq!(requests.join_all().await, [spoken; 10]);
            assert_eq!(worker.get().await.unwrap(), spoken);
        });
    }
}

#[test]
fn a_certificate_that_cannot_be_trusted_is_no_connection_and_the_operator_is_told_why() {
    type Change = fn(&mut CertificateParams);
    let cases: [(Change, &str); 3] = [
        (|params| params.not_after = date_time_ymd(2001, 1, 1), "its certificate has expired"),
        (|params| params.not_before = date_time_ymd(3000, 1, 1), "its certificate is not valid yet"),
        (
            |params| params.subject_alt_names = vec![SanType::DnsName("quoted.example".try_into().unwrap())],
            "its certificate is for other names than the URL's host",
        ),
    ];
    for (change, text) in cases {
        worker(async move {
            let authority = Authority::new();
            let address = backend(authority.identity(change), None, &[H2, HTTP_11]).await;
            refused(authority.upstream(address), text).await;
        });
    }
    worker(async {
        let address = backend(Authority::named("stranger").identity(|_| {}), None, &[H2, HTTP_11]).await;
        let text = "its certificate has an unknown issuer: trusted are those of `tls.ca_file`, or else the system's";
        refused(Authority::new().upstream(address), text).await;
    });
}

async fn refused(config: HttpUpstream, text: &str) {
    let worker = Worker::new(config);
    let error = worker.get().await.unwrap_err();
    assert_eq!(error.to_string(), format!("could not connect to the backend: {text}"));
    assert_eq!((error.kind(), worker.healthy()), (UpstreamErrorKind::Connect, vec![false]));
}

#[test]
fn what_speaks_no_tls_is_no_connection() {
    worker(async {
        let plain = Backend::new(|mut peer| async move {
            peer.write("HTTP/1.1 400 Bad Request\r\n\r\n").await;
            peer.closed().await;
        })
        .await;
        refused(Authority::new().upstream(plain.address), "it speaks no TLS").await;
    });
}

#[test]
fn a_backend_sees_our_certificate_if_it_asks_and_we_have_one() {
    worker(async {
        let authority = Authority::new();
        let auth = ClientAuth { roots: authority.roots(), required: true };
        let address = backend(authority.identity(|_| {}), Some(auth), &[H2, HTTP_11]).await;
        let ours = authority.identity(|_| {});
        let worker = Worker::new(https(address, ClientTls::new(authority.roots(), Some(ours)).unwrap()));
        assert_eq!(worker.get().await.unwrap(), "h2");

        let error = Worker::new(authority.upstream(address)).get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Connect);
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    });
}

#[test]
fn health_checks_go_the_same_way() {
    for protocols in [&[H2, HTTP_11][..], &[HTTP_11]] {
        worker(async move {
            let authority = Authority::new();
            let address = backend(authority.identity(|_| {}), None, protocols).await;
            let mut config = authority.upstream(address);
            let interval = std::time::Duration::from_millis(500);
            config.health_check = Some(HealthCheck { path: "/healthz".into(), interval });
            let worker = Worker::new(config);
            let endpoint = &worker.health.upstreams().next().unwrap().endpoints()[0];
            endpoint.checked(false);
            endpoint.checked(false);
            assert_eq!(worker.healthy(), [false]);
            let checking = tokio::task::spawn_local(check_forever(worker.config.clone(), Arc::clone(&worker.health)));
            while worker.healthy() != [true] {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            checking.abort();
        });
    }
}
