//! Connections: their end with the gateway's, too many of them, and what those that misbehave can cost.

use super::frames::{END_HEADERS, END_STREAM, FrameClient, GOAWAY, HEADERS, Outcome, block, frame};
use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::gateway::Gateway;
use crate::harness::sync::Gate;

fn gateway(backend: &RawBackend, more: &str) -> Gateway {
    Gateway::start(&format!(
        "{more}
workers: 1
upstreams: {{raw: {{urls: [http://{}]}}}}
routes:
  - {{match: '/{{*path}}', public: true, upstream: raw}}
",
        backend.address
    ))
}

fn get(stream: u32) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/a")];
    let fields = fields.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&fields))
}

fn answered(outcome: &Outcome) -> u16 {
    match outcome {
        Outcome::Answer(status, _) => *status,
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn a_request_in_flight_is_finished_when_the_gateway_ends() {
    let (arrived, answer) = (Gate::default(), Gate::default());
    let (arrives, may_answer) = (arrived.clone(), answer.clone());
    let backend = RawBackend::start(move |exchange| {
        arrives.open();
        may_answer.pass();
        exchange.send(OK).map(|()| Then::KeepAlive)
    });
    let gateway = gateway(&backend, "limits: {drain_delay: 1ms}");
    let mut client = FrameClient::begin(gateway.address());
    client.send(get(1)).unwrap();
    arrived.pass();
    gateway.terminate();
    let goaway = loop {
        let frame = client.next().expect("a GOAWAY while the request is in flight");
        if frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(goaway.payload[4..8], [0; 4], "NO_ERROR");
    answer.open();
    assert_eq!(answered(&client.outcome(1)), 200);
    gateway.wait();
}

#[test]
fn a_connection_too_many_is_told_so() {
    let backend = RawBackend::fixed(OK);
    let gateway = gateway(&backend, "limits: {connections: 1}");
    let mut first = FrameClient::begin(gateway.address());
    first.send(get(1)).unwrap();
    assert_eq!(answered(&first.outcome(1)), 200);
    let mut second = FrameClient::begin(gateway.address());
    second.send(get(1)).unwrap();
    assert_eq!(answered(&second.outcome(1)), 503);
    assert_eq!(second.outcome(3), Outcome::Closed);
    assert_eq!(gateway.access_log_entry(|entry| entry["status"] == 503)["reason"], "overloaded");
}

#[test]
fn a_client_that_resets_its_requests_is_cut_and_logged() {
    let backend = RawBackend::fixed(OK);
    let gateway = gateway(&backend, "");
    let mut client = FrameClient::begin(gateway.address());
    for turn in 0..10_000 {
        let stream = 2 * turn + 1;
        if client.send([get(stream), frame(3, 0, stream, &[0, 0, 0, 8])].concat()).is_err() {
            break;
        }
    }
    assert_eq!(client.outcome(u32::MAX), Outcome::GoAway(11), "ENHANCE_YOUR_CALM");
    gateway.access_log_entry(|entry| entry["detail"] == "more HTTP/2 control frames or resets than are allowed");
    assert_eq!(gateway.ask("GET /a HTTP/1.1\r\nHost: a\r\n\r\n").status, 200, "others are served");
}

#[test]
fn what_nobody_reads_does_not_pile_up() {
    let backend = RawBackend::start(|exchange| {
        let piece = vec![b'x'; 1024 * 1024];
        exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")?;
        for _ in 0..64 {
            exchange.send(&piece)?;
        }
        Ok(Then::Close)
    });
    let gateway = gateway(&backend, "limits: {idle: 1s}");
    let before = gateway.resident_bytes();
    let mut client = FrameClient::begin(gateway.address());
    // All the room there can be, for 100 answers of 64 MiB, and nobody who reads.
    client.send(frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).unwrap();
    client.send(frame(8, 0, 0, &[0x7f, 0, 0, 0])).unwrap();
    for turn in 0..100 {
        client.send(get(2 * turn + 1)).unwrap();
    }
    gateway.access_log_entry(|entry| entry["path"] == "/a");
    let grown = gateway.resident_bytes().saturating_sub(before);
    assert!(grown < 48 * 1024 * 1024, "{grown} bytes");
}
