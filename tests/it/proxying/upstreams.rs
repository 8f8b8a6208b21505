//! Backends that are down, slow or busy.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::{Setup, request};
use crate::harness::PATIENCE;
use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::sync::Gate;

/// A backend that says its name.
fn named(name: &str) -> RawBackend {
    RawBackend::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len()))
}

#[test]
fn a_backend_that_is_down_is_a_bad_gateway() {
    let gateway = Setup::PLAIN.start(&[RawBackend::nowhere()]);
    for _ in 0..2 {
        let response = gateway.ask(request("GET", "/a"));
        assert_eq!((response.status, response.code().as_str()), (502, "BAD_GATEWAY"));
    }
}

#[test]
fn a_backend_that_does_not_answer_is_a_timeout() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = RawBackend::start(move |exchange| {
        held.pass();
        exchange.send(OK).map(|()| Then::KeepAlive)
    });
    let gateway = Setup { upstream: ", timeout: 200ms", more: "" }.start(&[backend.address]);
    let started = Instant::now();
    let response = gateway.ask(request("GET", "/a"));
    assert_eq!((response.status, response.code().as_str()), (504, "GATEWAY_TIMEOUT"));
    assert!(started.elapsed() >= Duration::from_millis(200));
    assert_eq!(backend.so_far().len(), 1, "what took too long is not asked again");
    gate.open();
}

#[test]
fn the_timeout_runs_from_the_last_byte_of_the_request() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { upstream: ", timeout: 200ms", more: "" }.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    // Another request that times out takes just as long as the timeout of this one would, had it begun.
    let gate = Gate::default();
    let held = gate.clone();
    let silent = RawBackend::start(move |_| {
        held.pass();
        Ok(Then::Close)
    });
    let other = Setup { upstream: ", timeout: 400ms", more: "" }.start(&[silent.address]);
    assert_eq!(other.ask(request("GET", "/a")).status, 504);
    client.send("1\r\nx\r\n0\r\n\r\n");
    assert_eq!(client.receive().status, 200);
    gate.open();
}

#[test]
fn a_refused_connection_is_tried_elsewhere() {
    let live = named("live");
    for method in ["GET", "POST"] {
        let gateway = Setup::PLAIN.start(&[RawBackend::nowhere(), live.address]);
        for _ in 0..10 {
            assert_eq!(gateway.ask(request(method, "/a")).text(), "live", "{method}");
        }
    }
}

#[test]
fn the_backend_with_fewer_requests_in_flight_is_asked() {
    let (arrived, gate) = (Gate::default(), Gate::default());
    let backend = |name: &'static str| {
        let (arrived, gate) = (arrived.clone(), gate.clone());
        RawBackend::start(move |exchange| {
            if exchange.seen.request() == "GET /held" {
                arrived.open();
                gate.pass();
            }
            exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{name}"))?;
            Ok(Then::KeepAlive)
        })
    };
    let (one, two) = (backend("one"), backend("two"));
    let gateway = Setup::PLAIN.start(&[one.address, two.address]);

    let mut held = gateway.connect();
    held.send(request("GET", "/held"));
    arrived.pass();
    let others: HashSet<String> = (0..10).map(|_| gateway.ask(request("GET", "/a")).text()).collect();
    gate.open();
    let busy = held.receive().text();
    assert!(others.len() == 1 && !others.contains(&busy), "{busy} was busy, and asked were {others:?}");
}

#[test]
fn a_backend_that_fails_its_health_check_is_not_asked() {
    let sick = RawBackend::start(|exchange| {
        let answer: &[u8] = match exchange.seen.request() {
            "GET /healthz" => b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick",
        };
        exchange.send(answer).map(|()| Then::KeepAlive)
    });
    let well = named("well");
    let upstream = ", health_check: {path: /healthz, interval: 50ms}";
    let gateway = Setup { upstream, more: "" }.start(&[sick.address, well.address]);
    // The event is the change: from some request on all are answered by the one that is well.
    let started = Instant::now();
    let mut in_a_row = 0;
    while in_a_row < 20 {
        assert!(started.elapsed() < PATIENCE, "the sick backend is still asked");
        let well = gateway.ask(request("GET", "/a")).text() == "well";
        in_a_row = if well { in_a_row + 1 } else { 0 };
    }
}

#[test]
fn host_is_the_clients_or_the_urls() {
    let backend = RawBackend::fixed(OK);
    let address = backend.address.to_string();
    for (upstream, host) in [("", "a"), (", host: preserve", "a"), (", host: upstream", &*address)] {
        let gateway = Setup { upstream, more: "" }.start(&[backend.address]);
        gateway.ask(request("GET", "/a"));
        assert_eq!(backend.next().head.fields.one("host"), Some(host), "{upstream}");
    }
}
