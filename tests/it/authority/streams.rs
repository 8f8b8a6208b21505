//! What goes on while its client is revoked ends; that of others does not.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::fixture::{App, Authority, bearer};
use crate::harness::PATIENCE;
use crate::harness::backend::{RawBackend, Then};
use crate::harness::h2_backend::H2Backend;
use crate::harness::sync::Gate;
use crate::harness::tunnel::{Frame, TEXT, handshake};
use crate::http2::frames::{DATA, END_HEADERS, END_STREAM, FrameClient, HEADERS, RST_STREAM, block, frame};
use crate::upgrades::agreeing;

/// How long a stream may go on.
const SOON: Duration = Duration::from_secs(1);

struct Setup {
    authority: Authority,
    /// Who will be revoked, and who will not.
    acme: App,
    other: App,
}

impl Setup {
    fn start(url: &str) -> Self {
        let rest = format!(
            "upstreams: {{raw: {{urls: ['{url}']}}}}\nroutes: [{{match: '/{{*path}}', authenticated: true, upstream: raw}}]\n"
        );
        let authority = Authority::start("", &rest);
        let [acme, other] = ["acme", "other"].map(|id| authority.create(id, &["--scope", "users:read"]));
        Self { authority, acme, other }
    }

    fn token(&self, app: &App) -> String {
        self.authority.token(app)
    }

    /// From here on it takes so long.
    fn revoke(&self) -> Instant {
        self.authority.client(&["revoke", &self.acme.id]);
        Instant::now()
    }
}

#[test]
fn an_answer_that_streams_is_cut() {
    let gate = Gate::default();
    let may_end = gate.clone();
    let backend = RawBackend::streaming(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
        may_end.pass();
        exchange.send("3\r\nend\r\n0\r\n\r\n").map(|()| Then::KeepAlive)
    });
    let setup = Setup::start(&backend.url());
    let open = |app: &App| {
        let request = bearer("GET /a", &setup.token(app), "");
        let mut client = setup.authority.gateway.connect();
        client.send(&request);
        let head = client.receive_head();
        assert_eq!(head.status, 200, "{head:?}");
        (client, head)
    };
    let ((mut cut, cut_head), (mut whole, head)) = (open(&setup.acme), open(&setup.other));
    let revoked_at = setup.revoke();
    let mut rest = Vec::new();
    cut.truncated_body(&cut_head, |piece| rest.extend_from_slice(piece));
    assert!(revoked_at.elapsed() < SOON, "{:?}", revoked_at.elapsed());
    assert_eq!(rest, b"hello");
    gate.open();
    let mut body = Vec::new();
    whole.stream_body(&head, |piece| body.extend_from_slice(piece));
    assert_eq!(body, b"helloend");
}

#[test]
fn neither_a_download_nor_an_upload_at_full_speed_goes_on() {
    let backend = RawBackend::streaming(|exchange| match exchange.seen.request().starts_with("GET") {
        true => {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = [b"8000\r\n", [b'x'; 0x8000].as_slice(), b"\r\n"].concat();
            loop {
                exchange.send(&chunk)?;
            }
        }
        false => {
            while exchange.piece()?.is_some() {}
            Ok(Then::Close)
        }
    });
    let setup = Setup::start(&backend.url());
    let token = setup.token(&setup.acme);
    let gateway = &setup.authority.gateway;
    let (mut down, up) = (gateway.connect(), gateway.connect());
    down.send(bearer("GET /down", &token, ""));
    let head = down.receive_head();
    let mut upload = up.writer();
    thread::scope(|scope| {
        let (begun, begins) = channel();
        scope.spawn(move || {
            let head = "PUT /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer ";
            let chunk = [b"8000\r\n", [b'x'; 0x8000].as_slice(), b"\r\n"].concat();
            upload.write_all(format!("{head}{token}\r\n\r\n").as_bytes()).unwrap();
            while upload.write_all(&chunk).is_ok() {
                let _ = begun.send(());
            }
        });
        begins.recv_timeout(PATIENCE).unwrap();
        let revoking = scope.spawn(|| setup.revoke());
        down.truncated_body(&head, |_| ());
        let entry = gateway.access_log_entry(|entry| entry["path"] == "/up");
        let took = revoking.join().unwrap().elapsed();
        assert!(took < SOON, "{took:?}");
        assert_eq!((&entry["status"], &entry["reason"]), (&json!(401), &json!("client_revoked")));
    });
}

/// A backend that sends for as long as somebody takes it, and then says so.
fn endless() -> (RawBackend, Receiver<()>) {
    let (gone, goes) = channel();
    let gone = Mutex::new(gone);
    let backend = RawBackend::streaming(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"8000\r\n", [b'x'; 0x8000].as_slice(), b"\r\n"].concat();
        while exchange.send(&chunk).is_ok() {}
        let _ = gone.lock().unwrap().send(());
        Ok(Then::Close)
    });
    (backend, goes)
}

#[test]
fn what_a_client_does_not_read_ends_as_well() {
    let (backend, goes) = endless();
    let setup = Setup::start(&backend.url());
    let mut client = setup.authority.gateway.connect();
    client.send(bearer("GET /a", &setup.token(&setup.acme), ""));
    assert_eq!(client.receive_head().status, 200);
    let revoked_at = setup.revoke();
    goes.recv_timeout(PATIENCE).unwrap();
    assert!(revoked_at.elapsed() < SOON, "{:?}", revoked_at.elapsed());
}

#[test]
fn a_stream_of_http2_that_has_no_room_is_reset() {
    let (backend, goes) = endless();
    let setup = Setup::start(&backend.url());
    let mut client = FrameClient::begin(setup.authority.gateway.address());
    client.send(post(1, &setup.token(&setup.acme))).unwrap();
    client.send(frame(DATA, END_STREAM, 1, b"")).unwrap();
    // No more than the window is sent.
    assert!(!data(&mut client, 1).is_empty());
    let revoked_at = setup.revoke();
    while client.next().expect("a reset").kind != RST_STREAM {}
    goes.recv_timeout(PATIENCE).unwrap();
    assert!(revoked_at.elapsed() < SOON, "{:?}", revoked_at.elapsed());
}

#[test]
fn a_stream_of_http2_is_reset_and_its_neighbour_goes_on() {
    let backend = H2Backend::echo();
    let setup = Setup::start(&format!("h2c://{}", backend.address));
    let mut client = FrameClient::begin(setup.authority.gateway.address());
    for (stream, app) in [(1, &setup.acme), (3, &setup.other)] {
        client.send(post(stream, &setup.token(app))).unwrap();
        client.send(frame(DATA, 0, stream, b"hello")).unwrap();
        let echo = data(&mut client, stream);
        assert_eq!(echo, b"hello");
    }
    let revoked_at = setup.revoke();
    let reset = loop {
        let frame = client.next().expect("a reset");
        assert!(frame.kind != DATA && frame.kind != HEADERS, "{frame:?}");
        if frame.kind == RST_STREAM {
            break frame;
        }
    };
    assert!(revoked_at.elapsed() < SOON, "{:?}", revoked_at.elapsed());
    assert_eq!(reset.stream, 1);
    client.send(frame(DATA, END_STREAM, 3, b"still there")).unwrap();
    assert_eq!(data(&mut client, 3), b"still there");
    let end = loop {
        let frame = client.next().expect("the end of the stream");
        if frame.flags & END_STREAM != 0 {
            break frame;
        }
    };
    assert_eq!((end.kind, end.stream), (HEADERS, 3));
}

fn post(stream: u32, token: &str) -> Vec<u8> {
    let authorization = format!("Bearer {token}");
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/a"),
        ("te", "trailers"),
        ("authorization", &authorization),
    ];
    let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    frame(HEADERS, END_HEADERS, stream, &block(&fields))
}

/// The next data on this stream.
fn data(client: &mut FrameClient, stream: u32) -> Vec<u8> {
    loop {
        let frame = client.next().expect("data");
        if frame.kind == DATA && !frame.payload.is_empty() {
            assert_eq!(frame.stream, stream);
            return frame.payload;
        }
    }
}

#[test]
fn a_websocket_is_told_that_it_may_not_go_on() {
    let (backend, ends) = agreeing();
    let setup = Setup::start(&backend.url());
    let open = |app: &App| {
        let mut client = setup.authority.gateway.connect();
        client.send(handshake("/a", &format!("Authorization: Bearer {}\r\n", setup.token(app))));
        let (mut client, mut server) = (client.switched(), ends.next());
        client.send(Frame::of_client(TEXT, "hello").bytes());
        assert_eq!(server.frame().payload, b"hello");
        (client, server)
    };
    let ((mut cut, mut cut_server), (mut other, mut other_server)) = (open(&setup.acme), open(&setup.other));
    let revoked_at = setup.revoke();
    assert_eq!((cut.frame().close_code(), cut_server.frame().close_code()), (1008, 1008));
    assert!(revoked_at.elapsed() < SOON, "{:?}", revoked_at.elapsed());
    other_server.send(Frame::of_server(TEXT, "still there").bytes());
    assert_eq!(other.frame().payload, b"still there");
}

#[test]
fn a_request_that_is_still_waited_for_is_refused() {
    let (arrived, arrives) = channel();
    let (arrived, gate) = (Mutex::new(arrived), Gate::default());
    let never = gate.clone();
    let backend = RawBackend::streaming(move |_| {
        let _ = arrived.lock().unwrap().send(());
        never.pass();
        Ok(Then::Close)
    });
    let setup = Setup::start(&backend.url());
    let mut client = setup.authority.gateway.connect();
    client.send(bearer("GET /a", &setup.token(&setup.acme), ""));
    arrives.recv_timeout(PATIENCE).unwrap();
    let revoked_at = setup.revoke();
    let refusal = client.receive();
    assert_eq!((refusal.status, setup.authority.reason(&refusal).as_str()), (401, "client_revoked"));
    assert!(revoked_at.elapsed() < SOON, "{:?}", revoked_at.elapsed());
    gate.open();
}
