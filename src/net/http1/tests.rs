//! The server over a real socket, with a service that tells what it was asked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LINK;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;

use super::serve;
use crate::net::drain::Drain;
use crate::net::head::Head;
use crate::net::service::{Limits, Refusal, Request, Service};

const LIMITS: Limits =
    Limits { header_bytes: 1024, request_head: Duration::from_secs(5), idle: Duration::from_secs(5) };

/// How many informational answers `/flood` has, and a field of each: together far more than sockets hold.
const FLOOD: usize = 4000;
const LONG: &str = match std::str::from_utf8(&[b'x'; 8000]) {
    Ok(text) => text,
    Err(_) => "",
};
/// All of them are on their way.
static FLOODED: Notify = Notify::const_new();

thread_local! {
    /// Requests that this test's service was asked.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

/// Answers with method, target and body; `/early` without reading the body, `/hints` after a 103, `/flood` after many.
struct Tell;

impl Service for Tell {
    type Body = Full<Bytes>;

    async fn call(&self, request: Request) -> Response<Full<Bytes>> {
        CALLS.set(CALLS.get() + 1);
        let told = format!("{} {} ", request.head.method, request.head.target());
        if request.head.target() == "/early" {
            return Response::new(Full::from("early"));
        }
        if request.head.target() == "/hints" {
            let mut hints = Response::new(());
            *hints.status_mut() = StatusCode::EARLY_HINTS;
            request.interim.push(hints);
        }
        if request.head.target() == "/flood" {
            for _ in 0..FLOOD {
                let mut hints = Response::new(());
                *hints.status_mut() = StatusCode::EARLY_HINTS;
                hints.headers_mut().insert(LINK, HeaderValue::from_static(LONG));
                request.interim.push(hints);
                tokio::task::yield_now().await;
            }
            FLOODED.notify_one();
        }
        match request.body.collect().await {
            Ok(body) => Response::new(Full::from([told.as_bytes(), &body.to_bytes()].concat())),
            Err(error) => Response::new(Full::from(error.to_string())),
        }
    }

    fn refuse(&self, refusal: Refusal, _: Option<&Head>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(format!("{refusal:?}")));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }
}

/// What the server sends for `input`, up to its closing the connection.
fn exchange(input: &[u8]) -> String {
    converse(async |client| client.write_all(input).await.unwrap())
}

fn converse(talk: impl AsyncFnOnce(&mut TcpStream)) -> String {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(async move { serve(stream.into(), &Tell, LIMITS, &Drain::default()).await });
        let mut output = String::new();
        let conversation = async {
            talk(&mut client).await;
            client.read_to_string(&mut output).await.unwrap();
        };
        tokio::time::timeout(Duration::from_secs(10), conversation).await.expect("the server closes the connection");
        output
    })
}

#[test]
fn requests_behind_one_another_are_answered_in_order() {
    let answers = exchange(
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nPOST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab\
          POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n0\r\n\r\n\
          GET /4 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: h\r\n\r\n",
    );
    let places: Vec<_> = ["GET /1 ", "POST /2 ab", "POST /3 c", "GET /4 "].map(|told| answers.find(told)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answers}");
    assert!(!answers.contains("/5"), "nothing is answered after the last answer: {answers}");
}

#[test]
fn many_requests_behind_one_another_leave_others_their_turn() {
    let longest = Rc::new(Cell::new(0));
    let seen = Rc::clone(&longest);
    let answers = converse(async |client| {
        client.write_all(&b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(4000)).await.unwrap();
        client.write_all(b"GET /last HTTP/1.0\r\n\r\n").await.unwrap();
        tokio::task::spawn_local(async move {
            let mut before = 0;
            loop {
                tokio::task::yield_now().await;
                seen.set(seen.get().max(CALLS.get() - before));
                before = CALLS.get();
            }
        });
    });
    assert!(answers.contains("GET /last"));
    assert!((1..=256).contains(&longest.get()), "{} requests at a stretch", longest.get());
}

#[test]
fn a_body_that_nobody_reads_is_read_over() {
    let answers = exchange(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.0\r\n\r\n");
    assert!(answers.contains("early") && answers.contains("GET /2 "), "{answers}");
}

#[test]
fn one_hundred_continue_comes_when_the_body_is_wanted() {
    let answer = converse(async |client| {
        let head =
            b"POST /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        client.write_all(head).await.unwrap();
        let mut go_on = [0; 25];
        client.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"ab").await.unwrap();
    });
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("POST /1 ab"), "{answer}");
}

#[test]
fn one_hundred_continue_does_not_come_when_the_body_is_not_wanted() {
    let answer = exchange(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("connection: close"), "{answer}");
}

#[test]
fn early_hints_pass() {
    let answer = exchange(b"GET /hints HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
}

#[test]
fn hints_that_are_not_read_do_not_pile_up() {
    let answer = converse(async |client| {
        client.write_all(b"GET /flood HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        FLOODED.notified().await;
    });
    let passed = answer.matches(" 103 ").count();
    assert!((1..FLOOD / 2).contains(&passed), "{passed} of {FLOOD}");
    assert!(answer.ends_with("GET /flood "), "the answer itself arrives whole");
}

#[test]
fn nothing_is_read_behind_a_broken_request() {
    for broken in [
        "GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\n\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
    ] {
        let answer = exchange(format!("{broken}GET /next HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        assert!(!answer.contains("/next"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
}

#[test]
fn an_empty_line_before_a_request_is_skipped() {
    assert!(exchange(b"\r\nGET /1 HTTP/1.0\r\n\r\n").contains("GET /1 "));
}

/// What the server takes for HTTP/2 of what `pieces` are the start of, with the bytes it hands over.
fn handed_over(pieces: &[&'static [u8]]) -> Option<Vec<u8>> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    let pieces = pieces.to_vec();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        tokio::task::spawn_local(async move {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            let _ = client.read_to_end(&mut Vec::new()).await;
        });
        let mut stream = serve(stream.into(), &Tell, LIMITS, &Drain::default()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Some(bytes)
    })
}

#[test]
fn http_2_is_told_by_its_preface_and_handed_over_whole() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(handed_over(&[PREFACE, b"frames"]).unwrap(), [PREFACE, b"frames"].concat());
    let bytes: Vec<&'static [u8]> = PREFACE.chunks(1).collect();
    assert_eq!(handed_over(&bytes).unwrap(), PREFACE);
    for other in
        [&b"PRI * HTTP/2.0\r\n"[..], b"PRI * HTTP/2.0\r\nHost: h\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"]
    {
        assert!(handed_over(&[other]).is_none());
    }
    assert!(handed_over(&[b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", PREFACE]).is_none());
}

#[test]
fn an_endless_head_is_cut_off() {
    let answer = exchange(format!("GET / HTTP/1.1\r\nHost: {}", "x".repeat(2000)).as_bytes());
    assert!(answer.contains("TooLarge"), "{answer}");
}
