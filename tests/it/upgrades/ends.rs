//! Tunnels that end although neither side wants them to.

use super::{FOO, agreeing, gateway, gateway_with};
use crate::harness::client::Client;
use crate::harness::tokens;
use crate::harness::tunnel::{CLOSE, Frame, PING, TEXT, handshake};

#[test]
fn websockets_are_told_that_the_gateway_ends() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    client.send(handshake("/a", ""));
    let (mut client, mut server) = (client.switched(), ends.next());
    client.send(Frame::of_client(TEXT, "hello").bytes());
    assert_eq!(server.frame().payload, b"hello");

    gateway.terminate();
    let to_client = client.frame();
    assert_eq!((to_client.close_code(), to_client.masked), (1001, false));
    let to_server = server.frame();
    assert_eq!((to_server.close_code(), to_server.masked), (1001, true));
    // What was on its way is not passed on behind the close frame.
    client.send(Frame::of_client(TEXT, "late").bytes());
    client.send(Frame::of_client(CLOSE, 1001_u16.to_be_bytes()).bytes());
    server.send(Frame::of_server(CLOSE, 1001_u16.to_be_bytes()).bytes());
    assert_eq!((client.rest(), server.rest()), (vec![], vec![]));
    let finished = gateway.wait();
    assert!(finished.stdout.contains("\"status\":101"), "{}", finished.stdout);
}

#[test]
fn frames_that_have_begun_are_ended_before() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    client.send(handshake("/a", ""));
    let (mut client, mut server) = (client.switched(), ends.next());
    let (question, answer) = (Frame::of_client(TEXT, vec![b'q'; 300]), Frame::of_server(TEXT, vec![b'a'; 70_000]));
    let (begun, rest) = (question.bytes(), answer.bytes());
    client.send(&begun[..3]);
    server.send(&rest[..60_000]);
    assert_eq!((server.receive(3), client.receive(60_000)), (begun[..3].to_vec(), rest[..60_000].to_vec()));

    let address = gateway.address();
    gateway.terminate();
    while Client::try_connect(address).is_ok() {}
    client.send([&begun[3..], &Frame::of_client(TEXT, "late").bytes()].concat());
    server.send([&rest[60_000..], &Frame::of_server(PING, "late").bytes()].concat());
    assert_eq!((server.receive(begun.len() - 3), client.receive(rest.len() - 60_000)), {
        (begun[3..].to_vec(), rest[60_000..].to_vec())
    });
    assert_eq!((server.frame().close_code(), client.frame().close_code()), (1001, 1001));
    client.send(Frame::of_client(CLOSE, 1001_u16.to_be_bytes()).bytes());
    server.send(Frame::of_server(CLOSE, 1001_u16.to_be_bytes()).bytes());
    assert_eq!((client.rest(), server.rest()), (vec![], vec![]));
    gateway.wait();
}

#[test]
fn whoever_does_not_answer_a_close_frame_is_not_waited_for() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, ", drain: 1h");
    let mut client = gateway.connect();
    client.send(handshake("/a", ""));
    let (mut client, mut server) = (client.switched(), ends.next());
    gateway.terminate();
    assert_eq!((client.frame().close_code(), server.frame().close_code()), (1001, 1001));
    gateway.wait();
    assert_eq!((client.rest(), server.rest()), (vec![], vec![]));
}

#[test]
fn other_protocols_go_on_while_the_gateway_drains() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, ", drain: 3s");
    let address = gateway.address();
    let mut client = gateway.connect();
    client.send(FOO);
    let (mut client, mut end) = (client.switched(), ends.next());
    gateway.terminate();
    while Client::try_connect(address).is_ok() {}
    client.send("still there");
    assert_eq!(end.receive(11), b"still there");
    assert_eq!((client.rest(), end.rest()), (vec![], vec![]));
    gateway.wait();
}

/// The gateway's issuer, without tolerance: what expires expires on time.
const PUNCTUAL: &str = "issuers:
  - name: demo
    issuer: https://issuer.example
    audiences: [https://api.example]
    keys: {jwks_file: ./jwks.json}
    leeway: 0s
";

#[test]
fn a_websocket_ends_with_the_token() {
    let (backend, ends) = agreeing();
    let gateway = gateway_with(PUNCTUAL, backend.address, "");
    let token = tokens::mint(&["--expires-in", "2"]);
    let authorization = format!("Authorization: Bearer {token}\r\n");
    let mut client = gateway.connect();
    client.send(handshake("/closed", &authorization));
    let (mut client, mut server) = (client.switched(), ends.next());
    assert_eq!((client.frame().close_code(), server.frame().close_code()), (1008, 1008));
    assert_eq!(gateway.ask(handshake("/closed", &authorization)).status, 401, "not before the token");
    // What is sent from now on goes nowhere.
    client.send(Frame::of_client(TEXT, "late").bytes());
    assert_eq!((client.rest(), server.rest()), (vec![], vec![]));
}

#[test]
fn other_protocols_end_with_the_token() {
    let (backend, ends) = agreeing();
    let gateway = gateway_with(PUNCTUAL, backend.address, "");
    let token = tokens::mint(&["--expires-in", "2"]);
    let mut client = gateway.connect();
    client.send(format!(
        "GET /closed HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n"
    ));
    let (mut client, mut end) = (client.switched(), ends.next());
    client.send("hello");
    assert_eq!(end.receive(5), b"hello");
    assert_eq!((client.rest(), end.rest()), (vec![], vec![]));
}

#[test]
fn silence_ends_a_tunnel() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, ", idle: 300ms");
    let mut client = gateway.connect();
    client.send(FOO);
    let (mut client, mut end) = (client.switched(), ends.next());
    client.send("hello");
    assert_eq!(end.receive(5), b"hello");
    assert_eq!((client.rest(), end.rest()), (vec![], vec![]));
}

#[test]
fn a_side_that_does_not_read_ends_a_tunnel() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, ", idle: 300ms");
    let mut client = gateway.connect();
    client.send(FOO);
    let (mut client, end) = (client.switched(), ends.next());
    // More than sockets hold; the backend never reads, and the client is never silent.
    let piece = vec![b'x'; 1024 * 1024];
    while client.try_send(&piece).is_ok() {}
    drop(end);
    gateway.access_log_entry(|entry| entry["status"] == 101);
}
