//! Bodies are streamed: their length costs no memory, and neither side waits for the other's end.

use std::io::Write;
use std::thread;

use super::{Setup, request};
use crate::harness::backend::{RawBackend, Then};
use crate::harness::gateway::Gateway;
use crate::harness::sync::Gate;

const MIB: u64 = 1024 * 1024;
const PIECE: &[u8] = &[b'x'; MIB as usize];

/// The most by which memory may grow while a gibibyte passes.
const GROWTH_BYTES_MAX: u64 = 16 * MIB;

/// Watches how the gateway's memory grows while bytes pass.
struct Memory<'a> {
    gateway: &'a Gateway,
    before: u64,
    passed: u64,
    looked_at: u64,
}

impl<'a> Memory<'a> {
    fn watch(gateway: &'a Gateway) -> Self {
        Self { gateway, before: gateway.resident_bytes(), passed: 0, looked_at: 0 }
    }

    fn pass(&mut self, bytes: usize) {
        self.passed += bytes as u64;
        if self.passed - self.looked_at >= 16 * MIB {
            self.looked_at = self.passed;
            self.look();
        }
    }

    fn look(&self) {
        let grown = self.gateway.resident_bytes().saturating_sub(self.before);
        assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes after {} bytes", self.passed);
    }
}

#[test]
fn a_gibibyte_upwards_takes_no_memory() {
    let backend = RawBackend::streaming(|exchange| {
        let mut total = 0;
        while let Some(piece) = exchange.piece()? {
            total += piece.len();
        }
        exchange.send(format!("HTTP/1.1 200 OK\r\nX-Total: {total}\r\nContent-Length: 0\r\n\r\n"))?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    for mebibytes in [8, 1024] {
        let mut memory = Memory::watch(&gateway);
        client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", mebibytes * MIB));
        for _ in 0..mebibytes {
            client.send(PIECE);
            memory.pass(PIECE.len());
        }
        let response = client.receive();
        assert_eq!(response.fields.one("x-total"), Some(&*(mebibytes * MIB).to_string()));
    }
}

#[test]
fn a_gibibyte_downwards_takes_no_memory() {
    let backend = RawBackend::start(|exchange| {
        let mebibytes: u64 = exchange.seen.request().rsplit('/').next().unwrap().parse().unwrap();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mebibytes * MIB))?;
        (0..mebibytes).try_for_each(|_| exchange.send(PIECE))?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    for mebibytes in [8, 1024] {
        client.send(request("GET", &format!("/{mebibytes}")));
        let response = client.receive_head();
        let mut memory = Memory::watch(&gateway);
        client.stream_body(&response, |piece| memory.pass(piece.len()));
        assert_eq!(memory.passed, mebibytes * MIB);
    }
}

#[test]
fn a_client_that_does_not_read_holds_its_backend_back() {
    let backend = RawBackend::start(|exchange| {
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 256 * MIB))?;
        (0..256).try_for_each(|_| exchange.send(PIECE))?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send(request("GET", "/a"));
    let response = client.receive_head();
    // Another client's requests pass in the meantime; by the last of them the first body has gone as far as it can.
    let memory = Memory::watch(&gateway);
    for _ in 0..20 {
        let mut other = gateway.connect();
        other.send(request("GET", "/b"));
        let response = other.receive_head();
        assert_eq!(response.status, 200);
        memory.look();
    }
    let mut total = 0;
    client.stream_body(&response, |piece| total += piece.len() as u64);
    assert_eq!(total, 256 * MIB);
}

#[test]
fn a_body_passes_while_it_comes() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = RawBackend::streaming(move |exchange| {
        assert_eq!(exchange.piece()?.as_deref(), Some(&b"first"[..]));
        held.open();
        assert_eq!(exchange.piece()?.as_deref(), Some(&b"second"[..]));
        assert_eq!(exchange.piece()?, None);
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    gate.pass();
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.receive().status, 200);
}

#[test]
fn an_answer_comes_before_the_body_has_ended() {
    let backend = RawBackend::streaming(|exchange| {
        exchange.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnope")?;
        Ok(Then::Close)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhello");
    let response = client.receive();
    assert_eq!((response.status, response.text().as_str()), (403, "nope"));
}

#[test]
fn a_body_and_an_answer_pass_at_the_same_time() {
    let backend = RawBackend::streaming(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Some(piece) = exchange.piece()? {
            exchange.send(format!("{:x}\r\n", piece.len()))?;
            exchange.send(piece)?;
            exchange.send("\r\n")?;
        }
        exchange.send("0\r\n\r\n")?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    let mut writer = client.writer();
    client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 64 * MIB));
    let sending = thread::spawn(move || (0..64).try_for_each(|_| writer.write_all(PIECE)));
    let response = client.receive_head();
    let mut total = 0;
    client.stream_body(&response, |piece| total += piece.len() as u64);
    assert_eq!(total, 64 * MIB);
    sending.join().unwrap().unwrap();
}

#[test]
fn a_body_over_the_limit_is_cut_off() {
    let backend = RawBackend::fixed(crate::harness::backend::OK);
    let setup = Setup { more: "limits: {body_bytes: 1KiB, drain_delay: 1ms}", ..Setup::PLAIN };
    let gateway = setup.start(&[backend.address]);

    let declared = gateway.ask("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n");
    assert_eq!((declared.status, declared.code().as_str()), (413, "TOO_LARGE"));
    assert!(backend.so_far().is_empty(), "what is declared too large never starts");

    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(gateway.ask(format!("{head}{chunk}0\r\n\r\n")).status, 200);
    assert_eq!(backend.next().body.len(), 1024);
    assert_eq!(gateway.ask(format!("{head}{chunk}1\r\nx\r\n0\r\n\r\n")).status, 413);
    gateway.stop();
    assert!(backend.finish().iter().all(|seen| !seen.complete), "a body that was cut off passed for a whole one");
}
