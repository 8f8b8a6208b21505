//! gRPC as it is on the wire: messages both ways on one stream, and the status in the trailers.

use std::io::Write as _;
use std::thread;

use super::{gateway, get};
use crate::harness::h2_backend::H2Backend;

/// Bytes of a message.
const MESSAGE: usize = 100;
const MESSAGES: usize = 100_000;
/// How much the gateway may grow while a stream lasts, in bytes.
const GROWTH_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A message in a chunk of its own.
fn chunk() -> Vec<u8> {
    [&b"64\r\n\0\0\0\0\x5f"[..], &[b'a'; MESSAGE - 5], b"\r\n"].concat()
}

#[test]
fn a_unary_call_has_its_status_in_the_trailers() {
    let backend = H2Backend::echo();
    let gateway = gateway(&format!("h2c://{}", backend.address), "", |_| {});
    for _ in 0..3 {
        let mut client = gateway.connect();
        client.send("POST /a.B/C HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n");
        client.send("Content-Type: application/grpc\r\nContent-Length: 5\r\n\r\n\0\0\0\0\0");
        let answer = client.receive();
        assert_eq!((answer.status, &answer.body[..]), (200, &[0; 5][..]));
        assert_eq!(answer.fields.one("x-te"), Some("trailers"));
        assert_eq!(answer.fields.one("x-request-id"), answer.fields.one("x-id"), "the id of its request");
        assert_eq!(answer.trailers.one("grpc-status"), Some("0"));
    }
    assert_eq!(backend.connections(), 1);
    let (_, status) = gateway.admin_get("/status");
    assert!(status.contains(&format!("h2c://{}", backend.address)), "{status}");
}

#[test]
fn a_hundred_thousand_messages_each_way_take_no_memory() {
    let backend = H2Backend::echo();
    let gateway = gateway(&format!("h2c://{}", backend.address), "", |_| {});
    gateway.ask(get("/warm"));
    let before = gateway.resident_bytes();

    let mut client = gateway.connect();
    client.send("POST /a.B/C HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    // The head and the first message come back while the request is open.
    client.send(chunk());
    let head = client.receive_head();
    let mut writer = client.writer();
    let sending = thread::spawn(move || {
        let chunks = chunk().repeat(100);
        for _ in 0..MESSAGES / 100 {
            writer.write_all(&chunks).unwrap();
        }
        writer.write_all(b"0\r\n\r\n").unwrap();
    });
    let (mut received, mut looked_at) = (0, 0);
    client.stream_body(&head, |piece| {
        received += piece.len();
        if received - looked_at >= 1_000_000 {
            looked_at = received;
            let grown = gateway.resident_bytes().saturating_sub(before);
            assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes after {received}");
        }
    });
    sending.join().unwrap();
    assert_eq!(received, (MESSAGES + 1) * MESSAGE);
}

#[test]
fn a_client_that_does_not_read_holds_its_backend_back() {
    let backend = H2Backend::echo();
    let gateway = gateway(&format!("h2c://{}", backend.address), "", |_| {});
    gateway.ask(get("/warm"));
    let before = gateway.resident_bytes();

    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut writer = client.writer();
    writer.set_write_timeout(Some(std::time::Duration::from_millis(500))).unwrap();
    let chunk = [&b"10000\r\n"[..], &[b'a'; 65536], b"\r\n"].concat();
    // What it sends comes back and is not read: at some time nobody takes any more of it.
    let taken = (0..1600).take_while(|_| writer.write_all(&chunk).is_ok()).count();
    assert!(taken < 1600, "100 MiB went somewhere");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < GROWTH_BYTES_MAX, "grown by {grown} bytes after {taken} chunks");
    // Others on the same connection are served meanwhile.
    assert_eq!(gateway.ask(get("/other")).status, 200);
    assert_eq!(backend.connections(), 1);
}
