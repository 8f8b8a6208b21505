//! Upgrades asked of backends that speak HTTP/2, with and without extended CONNECT.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::server::SendResponse;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::harness::*;
use crate::config::{HttpUpstream, Scheme};
use crate::net::stream_io::StreamIo;
use crate::net::tls::{ClientTls, H2, HTTP_11, Identity, ServerTls};
use crate::upstream::{ResponseBody, UpstreamError, UpstreamErrorKind, Wishes};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

type Heads = Rc<RefCell<Vec<Request<()>>>>;

/// A backend of HTTP/2. Answers an extended CONNECT with `status`, and then sends back what it is sent; everything else
/// with 204.
struct Http2Backend {
    enable_connect: bool,
    status: u16,
    heads: Heads,
}

impl Http2Backend {
    fn new(enable_connect: bool, status: u16) -> Rc<Self> {
        Rc::new(Self { enable_connect, status, heads: Heads::default() })
    }

    async fn serve(self: Rc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut builder = h2::server::Builder::new();
        if self.enable_connect {
            builder.enable_connect_protocol();
        }
        let Ok(mut connection) = builder.handshake(stream).await else { return };
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::task::spawn_local(Rc::clone(&self).answer(request, respond));
        }
    }

    async fn answer(self: Rc<Self>, request: Request<h2::RecvStream>, mut respond: SendResponse<Bytes>) {
        let (parts, receive) = request.into_parts();
        let is_connect = parts.method == Method::CONNECT;
        self.heads.borrow_mut().push(Request::from_parts(parts, ()));
        let status = if is_connect { self.status } else { 204 };
        let head = Response::builder().status(status).body(()).unwrap();
        let is_agreed = is_connect && status == 200;
        let send = respond.send_response(head, !is_agreed).unwrap();
        if is_agreed {
            let (mut from, mut to) = tokio::io::split(StreamIo::new(receive, send));
            let _ = tokio::io::copy(&mut from, &mut to).await;
            let _ = to.shutdown().await;
        }
    }

    /// Without TLS.
    async fn listen(self: Rc<Self>) -> HttpUpstream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            loop {
                tokio::task::spawn_local(Rc::clone(&self).serve(listener.accept().await.unwrap().0));
            }
        });
        with_scheme(Scheme::H2c, address)
    }

    /// With TLS, and with HTTP/1.1 if the client wants that: on it, everybody is sent 101 and then what they send.
    async fn listen_with_tls(self: Rc<Self>, speaks_http1: bool) -> HttpUpstream {
        let (server, client) = tls();
        let mut config = (*server.config).clone();
        config.alpn_protocols = vec![H2.to_vec()];
        config.alpn_protocols.extend(speaks_http1.then(|| HTTP_11.to_vec()));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::task::spawn_local(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(tcp).await else { continue };
                if stream.get_ref().1.alpn_protocol() == Some(H2) {
                    tokio::task::spawn_local(Rc::clone(&self).serve(stream));
                } else {
                    tokio::task::spawn_local(switch(stream));
                }
            }
        });
        HttpUpstream { tls: Some(client), ..with_scheme(Scheme::Https, address) }
    }
}

async fn switch(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.unwrap();
    let (mut from, mut to) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut from, &mut to).await;
    let _ = to.shutdown().await;
}

fn tls() -> (ServerTls, ClientTls) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
    let identity = Identity { chain: vec![made.cert.der().clone()], key };
    (ServerTls::new(identity, None).unwrap(), ClientTls::new(roots, None).unwrap())
}

fn with_scheme(scheme: Scheme, address: SocketAddr) -> HttpUpstream {
    let mut config = upstream(&[address]);
    config.endpoints.iter_mut().for_each(|endpoint| endpoint.scheme = scheme);
    config
}

async fn ask(worker: &Worker, method: &str, protocol: &'static str) -> Result<Response<ResponseBody>, UpstreamError> {
    let mut request = request(method, TestBody::empty());
    if protocol == "websocket" {
        request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_static(KEY));
    }
    let wishes = Wishes { upgrade: Some(HeaderValue::from_static(protocol)), interim: None };
    worker.send_with(request, wishes).await
}

/// Whether what is sent comes back.
async fn echoes(response: Response<ResponseBody>) -> bool {
    let mut body = response.into_body();
    let mut backend = body.take_switched().unwrap().backend;
    let mut back = Vec::new();
    backend.write_all(b"hello").await.unwrap();
    backend.shutdown().await.unwrap();
    backend.read_to_end(&mut back).await.unwrap();
    back == b"hello"
}

#[test]
fn a_client_of_http1_gets_what_a_backend_of_http2_agrees_to() {
    worker(async {
        let backend = Http2Backend::new(true, 200);
        let worker = Worker::new(Rc::clone(&backend).listen().await);
        let response = ask(&worker, "GET", "websocket").await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], ACCEPT);
        assert_eq!(response.headers()[header::UPGRADE], "websocket");
        assert!(echoes(response).await);

        let heads = backend.heads.borrow();
        let [head] = &heads[..] else { panic!("{heads:?}") };
        assert_eq!((head.method(), head.uri().path()), (&Method::CONNECT, "/v1/users"));
        assert_eq!(head.extensions().get::<Protocol>().unwrap().as_str(), "websocket");
        for absent in [header::CONNECTION, header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::HOST] {
            assert!(!head.headers().contains_key(&absent), "{absent}");
        }
    });
}

#[test]
fn a_backend_of_http2_that_does_not_want_to_has_answered() {
    worker(async {
        let backend = Http2Backend::new(true, 403);
        let worker = Worker::new(Rc::clone(&backend).listen().await);
        let response = ask(&worker, "GET", "foo").await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(response.into_body().take_switched().is_none());
        assert_eq!(worker.send(request("GET", TestBody::empty())).await.unwrap().status(), 204);
    });
}

#[test]
fn what_a_backend_cannot_be_asked_takes_it_from_nobody() {
    worker(async {
        for (enable_connect, method) in [(false, "GET"), (true, "POST")] {
            let backend = Http2Backend::new(enable_connect, 200);
            let worker = Worker::new(Rc::clone(&backend).listen().await);
            let error = ask(&worker, method, "foo").await.unwrap_err();
            assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
            assert!(error.to_string().contains("extended CONNECT"), "{error}");
            assert_eq!(worker.healthy(), [true]);
            assert!(backend.heads.borrow().is_empty());
        }
    });
}

#[test]
fn a_backend_with_tls_is_asked_over_http1_unless_it_has_extended_connect() {
    worker(async {
        for enable_connect in [true, false] {
            let backend = Http2Backend::new(enable_connect, 200);
            let worker = Worker::new(Rc::clone(&backend).listen_with_tls(true).await);
            for _ in 0..2 {
                let response = ask(&worker, "GET", "foo").await.unwrap();
                assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
                assert!(echoes(response).await);
                assert_eq!(worker.send(request("GET", TestBody::empty())).await.unwrap().status(), 204);
            }
            let connects = backend.heads.borrow().iter().filter(|head| head.method() == Method::CONNECT).count();
            assert_eq!(connects, if enable_connect { 2 } else { 0 });
        }
    });
}

#[test]
fn a_backend_with_tls_that_has_neither_stays_well() {
    worker(async {
        let worker = Worker::new(Http2Backend::new(false, 200).listen_with_tls(false).await);
        for _ in 0..2 {
            let error = ask(&worker, "GET", "foo").await.unwrap_err();
            assert_eq!(error.kind(), UpstreamErrorKind::Protocol);
            assert_eq!(worker.healthy(), [true]);
        }
        assert_eq!(worker.send(request("GET", TestBody::empty())).await.unwrap().status(), 204);
    });
}
