//! What passes through a tunnel.

use std::io::Write;
use std::thread;

use super::{AGREED, FOO, agreeing, gateway};
use crate::harness::backend::{RawBackend, Then};
use crate::harness::tunnel::{CLOSE, Frame, KEY, PING, PONG, TEXT, accept, handshake};

const MIB: usize = 1024 * 1024;

/// The most by which memory may grow while much passes.
const GROWTH_BYTES_MAX: u64 = 8 * MIB as u64;

#[test]
fn both_sides_agree_and_bytes_pass_as_they_are() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    client.send(FOO.replace("Host", "TE: trailers\r\nX-Request-Id: one\r\nHost"));
    let response = client.receive_head();
    assert_eq!(response.status, 101);
    let mut fields: Vec<_> = response.fields.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    fields.retain(|field| !field.starts_with("date: "));
    fields.sort_unstable();
    assert_eq!(fields, ["connection: Upgrade", "upgrade: foo", "x-request-id: one"]);

    let seen = backend.next();
    assert_eq!((seen.head.fields.one("connection"), seen.head.fields.one("upgrade")), (Some("Upgrade"), Some("foo")));
    for absent in ["te", "content-length", "transfer-encoding"] {
        assert_eq!(seen.head.fields.one(absent), None);
    }

    let mut client = client.into_tunnel();
    let mut backend = ends.next();
    let everything: Vec<u8> = (0..=u8::MAX).collect();
    client.send(&everything);
    assert_eq!(backend.receive(everything.len()), everything);
    backend.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.receive(18), b"GET / HTTP/1.1\r\n\r\n");
    client.finish();
    assert_eq!(backend.rest(), b"");
    backend.finish();
    assert_eq!(client.rest(), b"");
    let entry = gateway.access_log_entry(|entry| entry["request_id"] == "one");
    assert_eq!((&entry["status"], &entry["bytes_in"], &entry["bytes_out"]), (&101.into(), &256.into(), &18.into()));
    let metrics = gateway.admin_get("/metrics").1;
    assert!(metrics.contains("status=\"101\"} 1\n"), "{metrics}");
}

#[test]
fn what_comes_right_behind_the_heads_is_not_lost() {
    let backend = RawBackend::start(|exchange| {
        exchange.send(format!("{AGREED}early from the backend"))?;
        let mut tunnel = exchange.switched()?;
        let said = tunnel.rest();
        tunnel.send(said);
        Ok(Then::Close)
    });
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    // No client should, before it knows; but what comes behind an agreement is of the new protocol.
    client.send(format!("{FOO}early from the client"));
    let mut client = client.switched();
    assert_eq!(client.receive(22), b"early from the backend");
    client.finish();
    assert_eq!(client.rest(), b"early from the client");
}

#[test]
fn each_side_ends_for_itself() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    for client_first in [true, false] {
        let mut client = gateway.connect();
        client.send(FOO);
        let (mut client, mut end) = (client.switched(), ends.next());
        let (first, second) = if client_first { (&mut client, &mut *end) } else { (&mut *end, &mut client) };
        first.send("last words");
        first.finish();
        assert_eq!(second.rest(), b"last words");
        second.send("still there");
        assert_eq!(first.receive(11), b"still there");
        second.finish();
        assert_eq!(first.rest(), b"");
    }
}

#[test]
fn an_end_that_is_gone_takes_the_other_with_it() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let connect = || {
        let mut client = gateway.connect();
        client.send(FOO);
        (client.switched(), ends.next())
    };
    let (client, mut end) = connect();
    drop(client);
    assert_eq!(end.rest(), b"");
    let (mut client, end) = connect();
    drop(end);
    assert_eq!(client.rest(), b"");
}

#[test]
fn websockets_speak() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    client.send(handshake("/chat?room=1", "Sec-WebSocket-Protocol: chat\r\nOrigin: https://a.example\r\n"));
    let response = client.receive_head();
    assert_eq!((response.status, response.fields.one("upgrade")), (101, Some("websocket")));
    assert_eq!(response.fields.one("sec-websocket-accept"), Some(&*accept(KEY)));
    let seen = backend.next();
    assert_eq!(seen.request(), "GET /chat?room=1");
    for (name, value) in [
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
        ("origin", "https://a.example"),
    ] {
        assert_eq!(seen.head.fields.one(name), Some(value));
    }
    let (mut client, mut server) = (client.into_tunnel(), ends.next());
    for size in [0, 5, 125, 126, 65_535, 65_536, MIB] {
        let (question, answer) = (Frame::of_client(TEXT, vec![b'q'; size]), Frame::of_server(TEXT, vec![b'a'; size]));
        client.send(question.bytes());
        assert_eq!(server.frame(), question);
        server.send(answer.bytes());
        assert_eq!(client.frame(), answer);
    }
    client.send(Frame::of_client(PING, "are you there").bytes());
    assert_eq!(server.frame(), Frame::of_client(PING, "are you there"));
    server.send(Frame::of_server(PONG, "are you there").bytes());
    assert_eq!(client.frame(), Frame::of_server(PONG, "are you there"));
    client.send(Frame::of_client(CLOSE, 1000_u16.to_be_bytes()).bytes());
    assert_eq!(server.frame().close_code(), 1000);
    server.send(Frame::of_server(CLOSE, 1000_u16.to_be_bytes()).bytes());
    server.finish();
    assert_eq!(client.frame().close_code(), 1000);
    assert_eq!(client.rest(), b"");
}

#[test]
fn much_takes_no_memory_either_way() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let piece = vec![b'x'; MIB];
    let mut client = gateway.connect();
    client.send(FOO);
    let (mut client, mut end) = (client.switched(), ends.next());
    let writers = (client.writer(), end.writer());
    for (from, to) in [(writers.0, &mut *end), (writers.1, &mut client)] {
        for mebibytes in [8, 256] {
            let before = gateway.resident_bytes();
            thread::scope(|scope| {
                scope.spawn(|| (0..mebibytes).for_each(|_| (&from).write_all(&piece).unwrap()));
                for passed in 1..=mebibytes {
                    assert_eq!(to.receive(MIB).len(), MIB);
                    let grown = gateway.resident_bytes().saturating_sub(before);
                    assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes after {passed} MiB");
                }
            });
        }
    }
}
