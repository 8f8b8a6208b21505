//! Connections that take their time or come in numbers, and the end of the process.

use std::io::Read;
use std::time::{Duration, Instant};

use super::{Setup, request};
use crate::harness::PATIENCE;
use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::sync::Gate;
use crate::harness::tokens::mint;

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { more: "limits: {request_head: 300ms}", upstream: "" }.start(&[backend.address]);
    // Nobody asked for anything.
    gateway.connect().expect_closed();
    for start in ["G", "GET /a HTTP/1.1\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nX-Pad: ", "PRI * HTTP/2.0\r\n"] {
        let mut client = gateway.connect();
        client.send(start);
        assert_eq!(client.receive().code(), "BAD_REQUEST");
        client.expect_closed();
    }
    assert!(backend.so_far().is_empty());
    let entry = gateway.access_log_entry(|entry| entry["reason"] == "request_malformed");
    assert_eq!(entry["detail"], "the request head did not arrive in time");
}

#[test]
fn a_head_that_trickles_in_ends_the_connection() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { more: "limits: {request_head: 300ms}", upstream: "" }.start(&[backend.address]);
    let mut client = gateway.connect();
    let mut stream = client.writer();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let started = Instant::now();
    // Each byte would start the time anew, if the time were that between two bytes. The read is the pause.
    while started.elapsed() < PATIENCE {
        let ended = client.try_send("G").is_err() || stream.read(&mut [0; 1024]).is_ok();
        if ended {
            return;
        }
    }
    panic!("the connection is still there");
}

#[test]
fn an_idle_connection_ends() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { more: "limits: {idle: 200ms}", upstream: "" }.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send(request("GET", "/a"));
    assert_eq!(client.receive().status, 200);
    client.expect_closed();
}

#[test]
fn a_request_is_over_with_its_answer_and_not_with_its_connection() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { more: "", upstream: "" }.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.receive().status, 200);
    // The client has not closed its side, and is waited for, for 2 s.
    let entry = gateway.access_log_entry(|entry| entry["status"] == 200);
    assert!(entry["duration_ms"].as_f64().unwrap() < 1500.0, "{entry}");
    drop(client);
}

/// The signature of such a token takes longer than all the rest of a request.
#[test]
fn requests_with_tokens_never_seen_let_others_go_first() {
    let gateway = Gateway::start(
        "workers: 1
limits: {drain_delay: 1ms}
upstreams: {echo: {builtin: echo}}
routes: [{match: '/{*path}', scopes: ['users:read'], upstream: echo}]
",
    );
    let (known, new) = (mint(&[]), ["a", "b", "c"].map(|client| mint(&["--client", client])));
    let request =
        |path: &str, token: &str| format!("GET /{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    let asked = [("new", &new[0]), ("new", &new[1]), ("new", &new[2]), ("known", &known)];
    let mut clients = asked.map(|_| gateway.connect());
    for client in &mut clients {
        client.send(request("before", &known));
        assert_eq!(client.receive().status, 200);
    }
    // So that it finds all of them at once, in this order.
    gateway.pause();
    for (client, (path, token)) in clients.iter_mut().zip(asked) {
        client.send(request(path, token));
    }
    gateway.resume();
    for client in &mut clients {
        assert_eq!(client.receive().status, 200);
    }
    drop(clients);
    let log = gateway.stop().stdout;
    let first = log.lines().find(|line| !line.contains("/before")).unwrap();
    assert!(first.contains("/known"), "{log}");
}

/// Nobody would know of it otherwise, since the refusal is over before the client's end is seen.
#[test]
fn a_forged_token_is_refused_and_counted_though_the_client_has_ended_its_side() {
    let gateway = Gateway::start(
        "limits: {drain_delay: 1ms}
upstreams: {echo: {builtin: echo}}
routes: [{match: '/{*path}', scopes: ['users:read'], upstream: echo}]
",
    );
    let tokens = [mint(&[]), mint(&["--client", "a"])];
    let [(signed, _), (_, signature)] = tokens.each_ref().map(|token| token.rsplit_once('.').unwrap());
    let late = mint(&["--scope", "other"]);
    for (token, status, reason) in
        [(&format!("{signed}.{signature}"), 401, "token_signature"), (&late, 403, "scope_missing")]
    {
        let mut client = gateway.connect();
        gateway.pause();
        client.send(format!("GET /a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"));
        client.finish();
        gateway.resume();
        assert_eq!(client.receive().status, status);
        let (_, metrics) = gateway.admin_get("/metrics");
        assert!(metrics.contains(&format!("decision=\"deny\",mode=\"enforce\",reason=\"{reason}\"")), "{metrics}");
        assert!(!metrics.contains("decision=\"allow\""), "{metrics}");
    }
}

#[test]
fn a_body_that_stops_coming_ends_the_request() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { more: "limits: {idle: 200ms}", upstream: "" }.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    assert!(!backend.next().complete);
    client.expect_refused_or_closed();
}

#[test]
fn more_connections_than_allowed_are_turned_away() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup { more: "limits: {connections: 4}", upstream: "" }.start(&[backend.address]);
    let answered = |client: &mut Client| {
        client.try_send(request("GET", "/a")).is_ok()
            && client.try_receive().is_ok_and(|response| response.status == 200)
    };
    let mut clients: Vec<Client> = (0..4).map(|_| gateway.connect()).collect();
    assert!(clients.iter_mut().all(answered));
    assert!(!answered(&mut gateway.connect()), "a fifth connection was served");
    assert!(clients.iter_mut().all(answered), "those that were there are served on");
    drop(clients.pop());
    let started = Instant::now();
    while !answered(&mut gateway.connect()) {
        assert!(started.elapsed() < PATIENCE, "the place that became free is not given away");
    }
}

#[test]
fn the_end_waits_for_requests_in_flight() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = RawBackend::start(move |exchange| {
        if exchange.seen.request() == "GET /held" {
            held.pass();
        }
        exchange.send(OK).map(|()| Then::KeepAlive)
    });
    let gateway = Setup { more: "limits: {drain_delay: 1ms, drain: 10s}", upstream: "" }.start(&[backend.address]);
    let address = gateway.address();
    let mut idle = gateway.connect();
    idle.send(request("GET", "/a"));
    assert_eq!(idle.receive().status, 200);
    let mut busy = gateway.connect();
    busy.send(request("GET", "/held"));
    backend.next();
    assert_eq!(backend.next().request(), "GET /held");

    gateway.terminate();
    idle.expect_closed();
    let started = Instant::now();
    while Client::try_connect(address).is_ok() {
        assert!(started.elapsed() < PATIENCE, "connections are still taken");
    }
    gate.open();
    let response = busy.receive();
    assert_eq!((response.status, response.closes()), (200, true));
    busy.expect_closed();
    // The gateway waits a little for clients to close as well.
    drop((idle, busy));
    gateway.wait();
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = RawBackend::start(move |_| {
        held.pass();
        Ok(Then::Close)
    });
    let gateway = Setup { more: "limits: {drain_delay: 1ms, drain: 200ms}", upstream: "" }.start(&[backend.address]);
    let mut busy = gateway.connect();
    busy.send(request("GET", "/held"));
    backend.next();
    gateway.stop();
    gate.open();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let backend = RawBackend::start(move |_| {
        held.pass();
        Ok(Then::Close)
    });
    let gateway = Setup { more: "limits: {drain_delay: 1ms, drain: 1h}", upstream: "" }.start(&[backend.address]);
    let mut idle = gateway.connect();
    idle.send(request("GET", "/idle"));
    let mut busy = gateway.connect();
    busy.send(request("GET", "/held"));
    backend.next();
    backend.next();
    gateway.terminate();
    let started = Instant::now();
    while Client::try_connect(gateway.address()).is_ok() {
        assert!(started.elapsed() < PATIENCE, "connections are still taken");
    }
    gateway.terminate();
    gateway.wait_for_any_end();
    gate.open();
}
