//! A request is sent a second time only where the first cannot have had an effect.

use super::{Setup, request};
use crate::harness::backend::{OK, RawBackend, Then};

/// Answers the first request of each connection and closes at the second without a word: a backend whose idle timeout
/// has just passed.
fn closes_reused_connections() -> RawBackend {
    RawBackend::start(|exchange| match exchange.seen.turn {
        0 => exchange.send(OK).map(|()| Then::KeepAlive),
        _ => Ok(Then::Close),
    })
}

/// (connection, turn) of all that a backend has seen.
fn turns(backend: &RawBackend) -> Vec<(usize, usize)> {
    backend.so_far().iter().map(|seen| (seen.connection, seen.turn)).collect()
}

#[test]
fn a_get_on_a_connection_that_had_gone_is_sent_again_once() {
    for method in ["GET", "DELETE", "OPTIONS"] {
        let backend = closes_reused_connections();
        let gateway = Setup::PLAIN.start(&[backend.address]);
        for _ in 0..2 {
            assert_eq!(gateway.ask(request(method, "/a")).status, 200, "{method}");
        }
        assert_eq!(turns(&backend), [(0, 0), (0, 1), (1, 0)], "{method}");
    }
}

#[test]
fn a_post_is_never_sent_again() {
    for post in [
        request("POST", "/a"),
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
        "PATCH /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        let backend = closes_reused_connections();
        let gateway = Setup::PLAIN.start(&[backend.address]);
        assert_eq!(gateway.ask(request("GET", "/a")).status, 200);
        assert_eq!(gateway.ask(&post).status, 502, "{post:?}");
        assert_eq!(turns(&backend), [(0, 0), (0, 1)], "{post:?}");
    }
}

#[test]
fn an_idempotent_request_with_a_body_is_not_sent_again() {
    let backend = closes_reused_connections();
    let gateway = Setup::PLAIN.start(&[backend.address]);
    assert_eq!(gateway.ask(request("GET", "/a")).status, 200);
    assert_eq!(gateway.ask("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").status, 502);
    assert_eq!(turns(&backend), [(0, 0), (0, 1)]);
}

#[test]
fn a_get_on_a_new_connection_is_not_sent_again() {
    let backend = RawBackend::start(|_| Ok(Then::Close));
    let gateway = Setup::PLAIN.start(&[backend.address]);
    assert_eq!(gateway.ask(request("GET", "/a")).status, 502);
    assert_eq!(turns(&backend), [(0, 0)]);
}

#[test]
fn nothing_is_sent_again_once_an_answer_has_begun() {
    let backend = RawBackend::start(|exchange| match exchange.seen.turn {
        0 => exchange.send(OK).map(|()| Then::KeepAlive),
        _ => exchange.send("HTTP/1.1 2").map(|()| Then::Close),
    });
    let gateway = Setup::PLAIN.start(&[backend.address]);
    assert_eq!(gateway.ask(request("GET", "/a")).status, 200);
    assert_eq!(gateway.ask(request("GET", "/a")).status, 502);
    assert_eq!(turns(&backend), [(0, 0), (0, 1)]);
}
