//! Requests over TLS: behind one another, and with large bodies.

use std::io::Write;

use super::{Setup, get};
use crate::harness::backend::{Exchange, OK, RawBackend, Then};

const MIB: usize = 1024 * 1024;
/// By how much memory may grow while [`BODY_BYTES`] pass.
const GROWTH_BYTES_MAX: u64 = 16 * MIB as u64;
const BODY_BYTES: usize = 256 * MIB;

#[test]
fn requests_behind_one_another_are_answered_in_order() {
    let backend = RawBackend::start(|exchange: &mut Exchange| {
        let path = exchange.seen.request().to_owned();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()))?;
        Ok(Then::KeepAlive)
    });
    let site = Setup::default().start(&backend.url(), |_| {});
    let mut client = site.dialer().connect(site.gateway.address());
    // One after the other, then all at once.
    client.send(get("/first"));
    assert_eq!(client.receive().text(), "GET /first");
    let requests: String = (0..100).map(|number| get(&format!("/{number}"))).collect();
    client.send(requests);
    for number in 0..100 {
        assert_eq!(client.receive().text(), format!("GET /{number}"));
    }
    assert_eq!(site.handshakes("success"), 1);
}

#[test]
fn a_request_in_many_records_is_one_request() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    let mut client = site.dialer().connect(site.gateway.address());
    for byte in "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".bytes() {
        client.send([byte]);
    }
    assert_eq!(client.receive().status, 200);
    assert_eq!(backend.next().body, b"abc");
}

#[test]
fn large_bodies_pass_in_both_directions_and_take_no_memory() {
    let backend = RawBackend::streaming(|exchange| {
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES}\r\n\r\n"))?;
        while let Some(piece) = exchange.piece()? {
            exchange.send(piece)?;
        }
        Ok(Then::KeepAlive)
    });
    let site = Setup::default().start(&backend.url(), |_| {});
    let mut stream = site.dialer().open(site.gateway.address()).unwrap();
    let mut client = crate::harness::client::Client::over(stream.clone(), stream.clone());
    client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
    let response = client.receive_head();
    let before = site.gateway.resident_bytes();
    let (mut sent, mut received) = (0, 0);
    let piece: Vec<u8> = (0..MIB).map(|index| (index % 251) as u8).collect();
    // What was sent is on its way back: up and down take turns, so that nothing has to hold much of it.
    stream.write_all(&piece).unwrap();
    sent += piece.len();
    client.stream_body(&response, |back| {
        for (offset, byte) in back.iter().enumerate().step_by(1000) {
            assert_eq!(usize::from(*byte), (received + offset) % MIB % 251);
        }
        received += back.len();
        if received + MIB / 2 >= sent && sent < BODY_BYTES {
            stream.write_all(&piece).unwrap();
            sent += piece.len();
            let grown = site.gateway.resident_bytes().saturating_sub(before);
            assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes after {sent}");
        }
    });
    assert_eq!(received, BODY_BYTES);
}
