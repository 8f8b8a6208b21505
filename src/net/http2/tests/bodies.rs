//! Bodies of requests: who waits for whom, and what happens when one side stops.

use std::future::poll_fn;

use bytes::Bytes;
use h2::Reason;
use http::StatusCode;

use super::{IDLE, begin, client, request, reset_of, run, settle, text, whole};

/// More than any window.
const MUCH: usize = 1 << 30;

/// How much the client may send until it has to wait.
async fn capacity(stream: &mut h2::SendStream<Bytes>) -> usize {
    stream.reserve_capacity(MUCH);
    settle().await;
    stream.capacity()
}

#[test]
fn a_body_that_is_not_read_is_not_taken_beyond_its_window() {
    run(async {
        let (mut send, _served) = client().await;
        let (_response, mut stream) = begin(&mut send, request("POST", "/hold"));
        settle().await;
        let mut sent = 0;
        loop {
            let room = capacity(&mut stream).await;
            if room == 0 {
                break;
            }
            stream.send_data(Bytes::from(vec![0; room]), false).unwrap();
            sent += room;
        }
        assert_eq!(sent, 256 * 1024);
    });
}

#[test]
fn a_body_that_is_read_goes_on_beyond_its_window() {
    run(async {
        let (mut send, _served) = client().await;
        let (response, mut stream) = begin(&mut send, request("POST", "/"));
        let piece = Bytes::from(vec![b'x'; 100_000]);
        for _ in 0..50 {
            stream.send_data(piece.clone(), false).unwrap();
        }
        stream.send_data(Bytes::new(), true).unwrap();
        assert_eq!(whole(response).await.unwrap().1.len(), 5_000_000);
    });
}

#[test]
fn a_body_that_stops_arriving_is_given_up() {
    run(async {
        let (mut send, _served) = client().await;
        let (response, mut stream) = begin(&mut send, request("POST", "/"));
        stream.send_data(Bytes::from("a"), false).unwrap();
        let before = tokio::time::Instant::now();
        assert_eq!(whole(response).await.unwrap().1, "the request body stopped arriving");
        assert_eq!(before.elapsed().as_secs(), IDLE.as_secs());
    });
}

#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    run(async {
        let (mut send, served) = client().await;
        let (response, mut stream) = begin(&mut send, request("POST", "/hang"));
        settle().await;
        stream.send_reset(Reason::CANCEL);
        settle().await;
        assert_eq!(*served.service.dropped.borrow(), 1);
        drop(response);

        let (_hanging, _stream) = begin(&mut send, request("POST", "/hang"));
        settle().await;
        served.over.abort();
        settle().await;
        assert_eq!(*served.service.dropped.borrow(), 2, "as does the end of a connection");
    });
}

#[test]
fn an_answer_before_the_end_of_the_body_is_whole() {
    run(async {
        let (mut send, _served) = client().await;
        let (response, mut stream) = begin(&mut send, request("POST", "/early"));
        assert_eq!(whole(response).await.unwrap().1, "early");
        assert_eq!(reset_of(&mut stream).await, Reason::NO_ERROR);
    });
}

#[test]
fn the_client_is_asked_for_the_body_when_it_is_read() {
    run(async {
        let (mut send, _served) = client().await;
        let expecting = |path| {
            let mut request = request("POST", path);
            request.headers_mut().insert("expect", "100-continue".parse().unwrap());
            request
        };
        let (mut response, mut stream) = begin(&mut send, expecting("/"));
        let go_on = poll_fn(|cx| response.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!(go_on.status(), StatusCode::CONTINUE);
        stream.send_data(Bytes::from("now"), true).unwrap();
        assert_eq!(whole(response).await.unwrap().1, "now");

        let (mut response, _stream) = begin(&mut send, expecting("/early"));
        assert!(poll_fn(|cx| response.poll_informational(cx)).await.is_none(), "nobody wants the body");
        assert_eq!(whole(response).await.unwrap().1, "early");

        let mut odd = request("POST", "/");
        odd.headers_mut().insert("expect", "tea".parse().unwrap());
        assert_eq!(begin(&mut send, odd).0.await.unwrap().status(), StatusCode::BAD_REQUEST);
    });
}

#[test]
fn a_body_of_another_length_than_promised_is_never_whole() {
    run(async {
        let (mut send, _served) = client().await;
        for (data, path) in [("abc", "/"), ("abcde", "/"), ("abc", "/hold"), ("abcde", "/hold")] {
            let mut lying = request("POST", path);
            lying.headers_mut().insert("content-length", "4".parse().unwrap());
            let (response, mut stream) = begin(&mut send, lying);
            settle().await;
            stream.send_data(Bytes::from(data), true).unwrap();
            assert_eq!(response.await.unwrap_err().reason(), Some(Reason::PROTOCOL_ERROR), "{data} to {path}");
        }
    });
}

#[test]
fn a_client_that_does_not_read_an_answer_is_given_up() {
    run(async {
        let (mut send, served) = client().await;
        let (response, _) = send.send_request(request("GET", "/large"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        let before = tokio::time::Instant::now();
        // Takes what comes without giving room for more.
        let end = loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("a clean end"),
            }
        };
        assert_eq!((end.reason(), before.elapsed().as_secs()), (Some(Reason::CANCEL), IDLE.as_secs()));
        assert!(!served.over.is_finished(), "other streams go on");
        let (response, _) = send.send_request(request("GET", "/early"), true).unwrap();
        drop(body);
        assert_eq!(text(response.await.unwrap().body_mut()).await.unwrap(), "early");
    });
}
