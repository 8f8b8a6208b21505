//! What clients can do to a listener with TLS before they have shaken hands.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Setup, Site, get};
use crate::harness::PATIENCE;
use crate::harness::backend::{OK, RawBackend};
use crate::harness::client::Client;

/// The start of a record that holds the start of a ClientHello.
const HALF_A_HELLO: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";

fn connect(site: &Site) -> TcpStream {
    let stream = TcpStream::connect(site.gateway.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Waits for the other side to end the connection.
fn wait_for_end(mut stream: TcpStream) -> Vec<u8> {
    let mut last = Vec::new();
    let _ =
        stream.read_to_end(&mut last).map_err(|error| assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset));
    last
}

#[test]
fn a_slow_handshake_is_cut_and_counted() {
    let backend = RawBackend::fixed(OK);
    let setup = Setup { more: "limits: {request_head: 300ms, drain_delay: 0s}", ..Setup::default() };
    let site = setup.start(&backend.url(), |_| {});
    let (silent, mut slow) = (connect(&site), connect(&site));
    slow.write_all(HALF_A_HELLO).unwrap();
    assert_eq!(wait_for_end(silent), b"");
    assert_eq!(wait_for_end(slow), b"");
    // Whoever only looks whether the port is there is no failure.
    drop(connect(&site));
    let mut client = site.dialer().connect(site.gateway.address());
    client.send(get("/a"));
    assert_eq!(client.receive().status, 200);
    let ended = ["timeout", "failure", "success"].map(|result| site.handshakes(result));
    assert_eq!(ended, [1, 0, 1]);
}

#[test]
fn garbage_is_answered_with_an_alert() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let long = [b"\x16\x03\x01\xff\xff".as_slice(), &[b'x'; 70_000]].concat();
    for garbage in [b"\x00\x01\x02\x03\x04\x05".as_slice(), b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00", &long] {
        let mut stream = connect(&site);
        // It may be cut off within what is too long.
        let _ = stream.write_all(garbage);
        let last = wait_for_end(stream);
        assert!(last.first().is_none_or(|record| *record == 0x15), "not an alert: {last:?}");
    }
    assert_eq!(site.handshakes("failure"), 3);
    assert!(backend.so_far().is_empty());
}

#[test]
fn a_handshake_is_a_connection() {
    let backend = RawBackend::fixed(OK);
    let setup = Setup {
        more: "limits: {connections: 1, request_head: 1s}",
        listeners: "\n  - {address: 127.0.0.1:0}",
        ..Setup::default()
    };
    let site = setup.start(&backend.url(), |_| {});
    let mut slow = connect(&site);
    slow.write_all(HALF_A_HELLO).unwrap();
    let (_, metrics) = site.gateway.admin_get("/metrics");
    assert!(metrics.contains("sidegate_connections 1\n"), "{metrics}");
    // Without TLS a client is told, with TLS it is just disconnected.
    let mut refused = Client::connect(site.gateway.proxies[1]);
    assert_eq!(refused.receive().status, 503);
    drop(refused);
    assert!(site.dialer().open(site.gateway.address()).is_err());
    // When the slow one is gone there is room again.
    wait_for_end(slow);
    let mut client = Client::connect(site.gateway.proxies[1]);
    client.send(get("/a"));
    assert_eq!(client.receive().status, 200);
}
