//! The end of a connection: clean where all was said, and never where something was cut off.

use std::io::{ErrorKind, Write};
use std::sync::mpsc::channel;

use super::{Setup, get};
use crate::harness::PATIENCE;
use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::client::Client;
use crate::harness::sync::Gate;

const CLOSE: &str = "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn an_answer_that_ends_its_connection_ends_it_cleanly() {
    let backend = RawBackend::fixed(OK);
    let site = Setup::default().start(&backend.url(), |_| {});
    for request in [CLOSE, "GET /a HTTP/1.0\r\n\r\n", "GET /a HTTP/1.1\r\nno field\r\n\r\n"] {
        let mut stream = site.dialer().open(site.gateway.address()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        assert!(stream.read_to_end().expect("a close_notify").starts_with(b"HTTP/1.1 "), "{request:?}");
    }
}

#[test]
fn an_idle_connection_ends_cleanly() {
    let backend = RawBackend::fixed(OK);
    let site = Setup { more: "limits: {idle: 200ms}", ..Setup::default() }.start(&backend.url(), |_| {});
    let mut stream = site.dialer().open(site.gateway.address()).unwrap();
    stream.write_all(get("/a").as_bytes()).unwrap();
    assert!(stream.read_to_end().expect("a close_notify").ends_with(b"ok"));
}

#[test]
fn an_answer_that_breaks_off_has_no_clean_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\nsome",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
    ] {
        let backend = RawBackend::start(move |exchange| exchange.send(answer).map(|()| Then::Close));
        let site = Setup::default().start(&backend.url(), |_| {});
        let mut stream = site.dialer().open(site.gateway.address()).unwrap();
        // HTTP/1.0 has nothing but the end of the connection to tell it by, unless there is a length.
        stream.write_all(b"GET /a HTTP/1.0\r\n\r\n").unwrap();
        let end = stream.read_to_end();
        if answer.contains("\r\n\r\nsome") && !answer.contains("Length") {
            assert!(end.expect("the backend's end is the answer's").ends_with(b"some"));
        } else {
            let kind = end.expect_err("a close_notify would say that this was all").kind();
            assert!(matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{kind}");
        }
    }
}

#[test]
fn a_request_that_is_cut_off_never_looks_whole() {
    let (tell, told) = channel();
    let backend = RawBackend::streaming(move |exchange| {
        while let Ok(piece) = exchange.piece() {
            tell.send(piece.clone()).unwrap();
            if piece.is_none() {
                break;
            }
        }
        tell.send(Some(b"broken off".to_vec())).unwrap();
        Ok(Then::Close)
    });
    let site = Setup::default().start(&backend.url(), |_| {});
    for start in [
        "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nsome",
    ] {
        let mut stream = site.dialer().open(site.gateway.address()).unwrap();
        stream.write_all(start.as_bytes()).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().as_deref(), Some(&b"some"[..]));
        stream.cut();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().as_deref(), Some(&b"broken off"[..]));
    }
}

#[test]
fn what_is_in_flight_is_finished_when_the_process_ends() {
    let (asked, go_on) = (Gate::default(), Gate::default());
    let (tell, wait) = (asked.clone(), go_on.clone());
    let backend = RawBackend::start(move |exchange| {
        tell.open();
        wait.pass();
        exchange.send(OK).map(|()| Then::KeepAlive)
    });
    let more = "limits: {drain_delay: 0s, drain: 10s}";
    let site = Setup { more, ..Setup::default() }.start(&backend.url(), |_| {});
    let mut idle = site.dialer().open(site.gateway.address()).unwrap();
    let silent = std::net::TcpStream::connect(site.gateway.address()).unwrap();
    let busy = site.dialer().open(site.gateway.address()).unwrap();
    let mut client = Client::over(busy.clone(), busy.clone());
    client.send(get("/a"));
    asked.pass();
    site.gateway.terminate();
    assert_eq!(idle.read_to_end().expect("a close_notify"), b"");
    go_on.open();
    let response = client.receive();
    assert!(response.status == 200 && response.closes(), "{response:?}");
    assert_eq!(busy.clone().read_to_end().expect("a close_notify"), b"");
    site.gateway.wait();
    drop(silent);
}
