//! Upgrades that do not come about. None of them may leave anything behind that a request could hide in.

use super::{AGREED, FOO, agreeing, gateway, gateway_with};
use crate::harness::backend::{OK, RawBackend, Then};
use crate::harness::client::Client;
use crate::harness::gateway::Gateway;
use crate::harness::tunnel::{KEY, handshake, handshake_answer};

/// What a client hides behind a wish to upgrade, in the hope that it is passed on unseen.
const HIDDEN: &str = "GET /closed HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_backend_that_does_not_want_to_is_sent_requests_and_nothing_else() {
    for refusal in [
        "HTTP/1.1 426 Upgrade Required\r\nUpgrade: bar\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let backend = RawBackend::fixed(refusal);
        let gateway = gateway(backend.address, "");
        for wish in [FOO.to_owned(), handshake("/a", "")] {
            let mut client = gateway.connect();
            client.send([&wish, HIDDEN, "GET /last HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
            let refused = client.receive();
            assert_ne!(refused.status, 101);
            assert_eq!(refused.text(), if refused.status == 204 { "" } else { "no" });
            assert_eq!(client.receive().status, 401, "what is behind it is a request like any other");
            assert_eq!(client.receive().status, refused.status);
        }
        gateway.stop();
        let seen = backend.finish();
        let requests: Vec<&str> = seen.iter().map(|seen| seen.request()).collect();
        assert_eq!(requests, ["GET /a", "GET /last", "GET /a", "GET /last"], "{refusal}");
        assert!(seen.iter().all(|seen| seen.complete && seen.body.is_empty()));
        assert!(seen.iter().all(|seen| seen.connection == 0), "the connection is still one of HTTP");
    }
}

#[test]
fn a_client_without_a_token_reaches_no_backend() {
    let (backend, _ends) = agreeing();
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    client.send(handshake("/closed", ""));
    assert_eq!(client.receive().status, 401);
    client.send(handshake("/closed?access_token=x", ""));
    assert_eq!(client.receive().status, 401);
    gateway.stop();
    assert!(backend.finish().is_empty());
}

/// Whether a gateway in front of a backend that answers so to `request` refuses that answer, and goes on.
fn is_bad_gateway(request: &str, answer: &str) {
    let fixed = answer.to_owned();
    let backend = RawBackend::start(move |exchange| {
        if exchange.seen.request() != "GET /a" {
            return exchange.send(OK).map(|()| Then::KeepAlive);
        }
        exchange.send(&fixed)?;
        // Nothing more comes, whatever the client sends.
        let _ = exchange.next_byte().map(|byte| assert_eq!(byte, None));
        Ok(Then::Close)
    });
    let gateway = gateway(backend.address, "");
    let mut client = gateway.connect();
    client.send([request, HIDDEN].concat());
    let response = client.receive();
    assert_eq!((response.status, response.code()), (502, "BAD_GATEWAY".to_owned()), "{answer}");
    assert_eq!(client.receive().status, 401);
    let entry = gateway.access_log_entry(|entry| entry["status"] == 502);
    assert_eq!(entry["reason"], "upstream_protocol");
    gateway.stop();
    let requests: Vec<String> = backend.finish().iter().map(|seen| seen.request().to_owned()).collect();
    assert_eq!(requests, ["GET /a"], "{answer}");
}

#[test]
fn an_agreement_to_something_else_is_none() {
    for answer in [
        AGREED.replace("foo", "bar"),
        AGREED.replace("foo", "websocket"),
        AGREED.replace("foo", "foo, bar"),
        AGREED.replace("Upgrade: foo\r\n", ""),
        AGREED.replace("Upgrade: foo\r\n", "Upgrade: foo\r\nUpgrade: foo\r\n"),
        AGREED.replace("Connection: Upgrade\r\n", ""),
        AGREED.replace("Connection: Upgrade", "Content-Length: 5\r\nConnection: Upgrade"),
        AGREED.replace("Connection: Upgrade", "Transfer-Encoding: chunked\r\nConnection: Upgrade"),
        AGREED.replace("HTTP/1.1", "HTTP/1.0"),
    ] {
        is_bad_gateway(FOO, &answer);
    }
}

#[test]
fn an_agreement_that_nobody_asked_for_is_none() {
    for request in [
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        FOO.replace("Connection: Upgrade\r\n", ""),
        FOO.replace("Connection: Upgrade", "Connection: keep-alive"),
        FOO.replace("foo", "foo, bar"),
    ] {
        is_bad_gateway(&request, AGREED);
    }
    is_bad_gateway(&FOO.replace("foo", "h2c"), &AGREED.replace("foo", "h2c"));
}

#[test]
fn a_websocket_whose_handshake_was_not_read_is_none() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    is_bad_gateway(&handshake("/a", ""), &format!("{answer}\r\n"));
    is_bad_gateway(&handshake("/a", ""), &format!("{answer}Sec-WebSocket-Accept: {KEY}\r\n\r\n"));
}

#[test]
fn identity_headers_cannot_be_named_away() {
    let (backend, ends) = agreeing();
    let token = crate::harness::tokens::mint(&["--tenant", "t1"]);
    let gateway = gateway_with("identity: {tenant: {header: X-Tenant-Id}}", backend.address, "");
    let mut client = gateway.connect();
    client.send(format!(
        "GET /closed HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nX-Tenant-Id: t2\r\nX-Own: 1\r\n\
         Connection: Upgrade, X-Tenant-Id, X-Own, Authorization\r\nUpgrade: foo\r\n\r\n"
    ));
    drop((client.switched(), ends.next()));
    let fields = backend.next().head.fields;
    assert_eq!(fields.one("x-tenant-id"), Some("t1"));
    assert_eq!(fields.one("connection"), Some("Upgrade"));
    assert_eq!((fields.one("x-own"), fields.one("authorization").is_some()), (None, true));
}

#[test]
fn a_pooled_connection_that_was_closed_is_no_reason_to_fail() {
    let backend = RawBackend::start(|exchange| {
        if exchange.seen.head.fields.one("upgrade").is_none() {
            return exchange.send(OK).map(|()| Then::KeepAlive);
        }
        if exchange.seen.turn > 0 {
            // As if it had been closing already when the request came.
            return Ok(Then::Close);
        }
        exchange.send(handshake_answer(&exchange.seen.head.fields))?;
        let said = exchange.switched()?.receive(5);
        assert_eq!(said, b"hello");
        Ok(Then::Close)
    });
    let gateway = gateway(backend.address, "");
    assert_eq!(gateway.ask("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    let mut client = gateway.connect();
    client.send(handshake("/a", ""));
    let mut client = client.switched();
    client.send("hello");
    assert_eq!(client.rest(), b"");
    let seen = backend.so_far();
    assert_eq!(seen.iter().map(|seen| (seen.connection, seen.turn)).collect::<Vec<_>>(), [(0, 0), (0, 1), (1, 0)]);
    let keys: Vec<_> = seen[1..].iter().map(|seen| seen.head.fields.one("sec-websocket-key")).collect();
    assert_eq!(keys, [Some(KEY), Some(KEY)]);
}

#[test]
fn a_tunnel_is_one_of_the_connections() {
    let (backend, ends) = agreeing();
    let gateway = gateway(backend.address, ", connections: 1");
    let mut client = gateway.connect();
    client.send(FOO);
    let (client, end) = (client.switched(), ends.next());
    assert_eq!(open_connections(&gateway), 1);
    let mut second = Client::connect(gateway.address());
    // It may be told so before it has asked.
    let _ = second.try_send(FOO);
    assert_eq!(second.receive().status, 503);
    drop((client, end));
    gateway.access_log_entry(|entry| entry["status"] == 101);
}

fn open_connections(gateway: &Gateway) -> u64 {
    let metrics = gateway.admin_get("/metrics").1;
    let line = metrics.lines().find_map(|line| line.strip_prefix("sidegate_connections "));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}
