//! WebSockets of clients that speak HTTP/2 (RFC 8441), to backends that do not.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{agreeing, gateway, gateway_with};
use crate::harness::PATIENCE;
use crate::harness::backend::RawBackend;
use crate::harness::tokens;
use crate::harness::tunnel::{CLOSE, Frame, KEY, TEXT};

/// A stream on which a WebSocket was asked for.
struct Stream {
    send: SendStream<Bytes>,
    response: Response<RecvStream>,
}

impl Stream {
    /// Asks for a WebSocket on a connection of its own.
    async fn ask(gateway: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Self {
        let tcp = TcpStream::connect(gateway).await.unwrap();
        let (send, mut connection) = h2::client::handshake(tcp).await.unwrap();
        // Behind it the settings have come.
        let mut pings = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        pings.ping(h2::Ping::opaque()).await.unwrap();
        assert!(send.is_extended_connect_protocol_enabled());
        let mut request =
            Request::connect(format!("http://{gateway}{path}")).extension(Protocol::from_static("websocket"));
        for (name, value) in [("sec-websocket-version", "13")].iter().chain(fields) {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let (response, send) = send.ready().await.unwrap().send_request(request, false).unwrap();
        Self { response: response.await.unwrap(), send }
    }

    fn send(&mut self, frame: &Frame) {
        self.send.send_data(frame.bytes().into(), false).unwrap();
    }

    /// The next so many bytes.
    async fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let data = self.response.body_mut().data().await.expect("there is more").unwrap();
            self.response.body_mut().flow_control().release_capacity(data.len()).unwrap();
            bytes.extend_from_slice(&data);
        }
        bytes
    }
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("the test hangs") });
}

#[test]
fn a_stream_becomes_a_websocket_of_http1() {
    let (backend, ends) = agreeing();
    let gateway = gateway_with("identity: {tenant: {header: X-Tenant-Id}}", backend.address, "");
    let authorization = format!("Bearer {}", tokens::mint(&["--tenant", "t1"]));
    run(async {
        let fields = [("authorization", &*authorization), ("sec-websocket-key", KEY), ("x-request-id", "one")];
        let mut client = Stream::ask(gateway.address(), "/closed?room=1", &fields).await;
        assert_eq!(client.response.status(), 200);
        for absent in ["connection", "upgrade", "sec-websocket-accept", "transfer-encoding", "content-length"] {
            assert!(!client.response.headers().contains_key(absent), "{absent}");
        }
        let seen = backend.next();
        assert_eq!(seen.request(), "GET /closed?room=1");
        let field = |name| seen.head.fields.one(name);
        assert_eq!(
            (field("connection"), field("upgrade"), field("x-tenant-id")),
            (Some("Upgrade"), Some("websocket"), Some("t1"))
        );
        assert_eq!(field("sec-websocket-key").map(str::len), Some(24));
        assert_ne!(field("sec-websocket-key"), Some(KEY), "a key of its own, whatever the client says");

        let mut server = ends.next();
        let (question, answer) =
            (Frame::of_client(TEXT, vec![b'q'; 70_000]), Frame::of_server(TEXT, vec![b'a'; 70_000]));
        client.send(&question);
        let mut server = spawn_blocking(move || {
            assert_eq!(server.frame(), question);
            server.send(answer.bytes());
            server
        })
        .await
        .unwrap();
        assert_eq!(client.receive(70_010).await.len(), 70_010);

        gateway.terminate();
        assert_eq!(client.receive(4).await, b"\x88\x02\x03\xe9");
        client.send(&Frame::of_client(CLOSE, 1001_u16.to_be_bytes()));
        assert_eq!(server.frame().close_code(), 1001);
        server.send(Frame::of_server(CLOSE, 1001_u16.to_be_bytes()).bytes());
        assert_eq!(server.rest(), b"");
    });
    let finished = gateway.wait();
    assert!(finished.stdout.contains("\"status\":101"), "{}", finished.stdout);
}

#[test]
fn a_stream_that_is_refused_sends_nothing_on() {
    let backend = RawBackend::fixed("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    let gateway = gateway(backend.address, "");
    run(async {
        let mut client = Stream::ask(gateway.address(), "/a", &[]).await;
        assert_eq!((client.response.status(), client.receive(2).await), (426.try_into().unwrap(), b"no".to_vec()));
        let _ = client.send.send_data("GET /closed HTTP/1.1\r\nHost: a\r\n\r\n".into(), false);
        let refused = Stream::ask(gateway.address(), "/closed", &[]).await;
        assert_eq!(refused.response.status(), 401);
    });
    gateway.stop();
    let requests: Vec<String> = backend.finish().iter().map(|seen| seen.request().to_owned()).collect();
    assert_eq!(requests, ["GET /a"]);
}

#[test]
fn a_page_in_place_of_a_websocket_is_no_tunnel() {
    let backend = RawBackend::fixed("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    let gateway = gateway(backend.address, "");
    run(async {
        let client = Stream::ask(gateway.address(), "/a", &[]).await;
        assert_eq!(client.response.status(), 502);
    });
    let entry = gateway.access_log_entry(|entry| entry["path"] == "/a");
    assert_eq!(entry["reason"], "upstream_protocol");
}
