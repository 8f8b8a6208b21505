//! What breaks off on one side is seen to break off on the other: a part never passes for the whole.

use std::sync::mpsc::channel;

use super::{Setup, request};
use crate::harness::PATIENCE;
use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::client::Failure;
use crate::harness::sync::Gate;

#[test]
fn a_request_that_breaks_off_breaks_off_for_the_backend() {
    for (framing, body) in [
        ("Content-Length: 10", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", "a\r\nhello"),
    ] {
        let (sender, ended) = channel();
        let backend = RawBackend::streaming(move |exchange| {
            let end = loop {
                match exchange.piece() {
                    Ok(Some(_)) => {}
                    end => break end.map(|_| "whole").map_err(|error| error.kind()),
                }
            };
            let _ = sender.send(end);
            exchange.send(OK).map(|()| Then::KeepAlive)
        });
        let gateway = Setup::PLAIN.start(&[backend.address]);
        let mut client = gateway.connect();
        client.send(format!("POST /a HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}"));
        backend.next();
        drop(client);
        let end = ended.recv_timeout(PATIENCE).expect("the backend's request ends");
        assert!(end.is_err(), "{framing} {body:?}: {end:?}");
        assert_eq!(gateway.ask(request("GET", "/next")).status, 200);
        assert_eq!(backend.next().turn, 0, "the broken connection is not used again");
    }
}

#[test]
fn a_client_that_goes_away_while_waiting_ends_the_request_at_the_backend() {
    let arrived = Gate::default();
    let opened = arrived.clone();
    let noticed = Gate::default();
    let ended = noticed.clone();
    let backend = RawBackend::start(move |exchange| {
        opened.open();
        // The gateway sends nothing more, so that anything but the end of the connection is wrong.
        assert!(exchange.next_byte()?.is_none());
        ended.open();
        Ok(Then::Close)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send(request("GET", "/a"));
    arrived.pass();
    drop(client);
    noticed.pass();
}

#[test]
fn an_answer_that_breaks_off_breaks_off_for_the_client() {
    for (framing, body) in [
        ("Content-Length: 10", "hello"),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n"),
        ("Transfer-Encoding: chunked", "a\r\nhello"),
    ] {
        let backend = RawBackend::start(move |exchange| {
            exchange.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}"))?;
            Ok(Then::Close)
        });
        let gateway = Setup::PLAIN.start(&[backend.address]);
        let mut client = gateway.connect();
        client.send(request("GET", "/a"));
        match client.try_receive() {
            Err(Failure::Truncated(part)) => assert_eq!(part.text(), "hello"),
            other => panic!("{framing} {body:?}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_with_a_broken_chunk_breaks_off_for_the_client() {
    let backend = RawBackend::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nXX\r\nHTTP/1.1 200 OK\r\n\r\n",
    );
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send(request("GET", "/a"));
    let Err(Failure::Truncated(part)) = client.try_receive() else { panic!("a broken answer passed for a whole one") };
    assert_eq!(part.text(), "hello");
}

#[test]
fn an_answer_that_is_no_http_is_a_bad_gateway() {
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nX Y: z\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "",
    ] {
        let backend = RawBackend::start(move |exchange| exchange.send(answer).map(|()| Then::Close));
        let gateway = Setup::PLAIN.start(&[backend.address]);
        let response = gateway.ask(request("POST", "/a"));
        assert_eq!((response.status, response.code().as_str()), (502, "BAD_GATEWAY"), "{answer:?}");
    }
}
