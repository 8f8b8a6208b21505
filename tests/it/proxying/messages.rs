//! Messages pass with their framing, their interim responses and their trailers.

use super::{Setup, request};
use crate::harness::backend::{OK, RawBackend, Then};

#[test]
fn a_connection_serves_many_requests() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    for turn in 0..5 {
        client.send(request("GET", &format!("/{turn}")));
        assert_eq!(client.receive().text(), "ok");
        let seen = backend.next();
        assert_eq!((seen.request(), seen.connection, seen.turn), (&*format!("GET /{turn}"), 0, turn));
    }
}

#[test]
fn an_answer_has_the_id_of_its_request_whatever_id_the_backend_gives_it() {
    for ids in ["", "X-Request-Id: its-own\r\n", "X-Request-Id: one\r\nx-request-id: two\r\n"] {
        for more in ["", "cors: {origins: ['https://app.example']}"] {
            let backend = RawBackend::fixed(format!("HTTP/1.1 200 OK\r\n{ids}Content-Length: 2\r\nX-A: 1\r\n\r\nok"));
            let gateway = Setup { more, ..Setup::PLAIN }.start(&[backend.address]);
            let mut client = gateway.connect();
            client.send(request("GET", "/"));
            let response = client.receive();
            let given: Vec<_> = response.fields.all("x-request-id").collect();
            assert_eq!(given, [backend.next().head.fields.one("x-request-id").unwrap()], "{ids:?} {more}");
            assert_eq!((response.fields.one("x-a"), response.text()), (Some("1"), "ok".to_owned()));
        }
    }
}

#[test]
fn an_answer_without_a_length_ends_the_connection_of_http_1_0() {
    let backend = RawBackend::fixed("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("GET /a HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n".repeat(2));
    let answer = client.receive();
    assert_eq!((answer.text(), answer.closes()), ("ok".to_owned(), true));
    client.expect_closed();
}

#[test]
fn bytes_behind_a_short_answer_are_nobodys_answer() {
    let backend = RawBackend::start(|exchange| {
        exchange
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    for connection in 0..3 {
        client.send(request("GET", "/"));
        assert_eq!(client.receive().text(), "a");
        assert_eq!(backend.next().connection, connection, "it is not used again");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = RawBackend::start(|exchange| {
        let target = exchange.seen.head.start_line.clone();
        exchange.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len()))?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send((0..10).map(|turn| request("GET", &format!("/{turn}"))).collect::<String>());
    for turn in 0..10 {
        assert_eq!(client.receive().text(), format!("GET /{turn} HTTP/1.1"));
    }
}

#[test]
fn a_target_with_an_authority_reaches_the_backend_as_path_and_host() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    for (target, path) in [("http://b", "/"), ("http://b/", "/"), ("http://b/c?d=/", "/c?d=/")] {
        client.send(request("GET", target));
        assert_eq!(client.receive().status, 200, "{target}");
        let seen = backend.next();
        assert_eq!((seen.request(), seen.head.fields.one("host")), (&*format!("GET {path}"), Some("b")), "{target}");
    }
}

#[test]
fn head_has_a_length_and_no_body() {
    let backend = RawBackend::start(|exchange| {
        let body: &[u8] = if exchange.seen.request().starts_with("HEAD") { b"" } else { b"0123456789" };
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")?;
        exchange.send(body)?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send(request("HEAD", "/a"));
    assert_eq!(client.receive_head().fields.one("content-length"), Some("10"));
    client.send(request("GET", "/b"));
    assert_eq!(client.receive().text(), "0123456789");
}

#[test]
fn statuses_without_a_body_have_none() {
    for (answer, status) in [
        ("HTTP/1.1 204 No Content\r\n\r\n", 204),
        ("HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 10\r\n\r\n", 304),
    ] {
        let backend = RawBackend::fixed(answer);
        let gateway = Setup::PLAIN.start(&[backend.address]);
        let mut client = gateway.connect();
        for _ in 0..2 {
            client.send(request("GET", "/a"));
            let response = client.receive();
            assert_eq!((response.status, response.fields.one("transfer-encoding")), (status, None));
        }
    }
}

#[test]
fn chunked_bodies_pass_both_ways_with_their_trailers() {
    let backend = RawBackend::fixed(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Down\r\n\r\n\
         4\r\ndown\r\n4\r\nward\r\n0\r\nX-Down: 1\r\n\r\n",
    );
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send(
        "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n\
         2\r\nup\r\n4\r\nward\r\n0\r\nX-Up: 1\r\n\r\n",
    );
    let response = client.receive();
    let seen = backend.next();
    assert_eq!((response.text().as_str(), &*seen.body), ("downward", &b"upward"[..]));
    assert_eq!(response.trailers.one("x-down"), Some("1"));
    assert_eq!(seen.trailers.one("x-up"), Some("1"));
}

#[test]
fn a_body_that_ends_with_the_connection_has_an_end_of_its_own() {
    let backend = RawBackend::start(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil close")?;
        Ok(Then::Close)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    for _ in 0..2 {
        client.send(request("GET", "/a"));
        let response = client.receive();
        assert_eq!((response.text().as_str(), response.closes()), ("until close", false));
    }
}

#[test]
fn early_hints_pass() {
    let backend = RawBackend::start(|exchange| {
        exchange.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")?;
        exchange.send(OK)?;
        Ok(Then::KeepAlive)
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let response = gateway.ask(request("GET", "/a"));
    let [hints] = &response.interim[..] else { panic!("one interim response: {response:?}") };
    assert!(hints.start_line.starts_with("HTTP/1.1 103 "), "{hints:?}");
    assert_eq!(hints.fields.one("link"), Some("</style.css>; rel=preload"));
}

#[test]
fn expect_continue_asks_for_the_body() {
    let backend = RawBackend::fixed(OK);
    let gateway = Setup::PLAIN.start(&[backend.address]);
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(client.receive_interim().start_line.starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(client.receive().status, 200);
    assert_eq!(backend.next().body, b"hello");
}

#[test]
fn a_refused_request_is_not_asked_for_its_body() {
    let backend = RawBackend::fixed(OK);
    let gateway = super::Gateway::start(&format!(
        "upstreams: {{raw: {{urls: [{}]}}}}\nroutes: [{{match: /a, authenticated: true, upstream: raw}}]",
        backend.url()
    ));
    let mut client = gateway.connect();
    client.send("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let response = client.receive();
    assert_eq!((response.status, response.interim.len()), (401, 0), "{response:?}");
    assert!(backend.so_far().is_empty());
}
