//! How connections end.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::raw::{PREFACE, Raw};
use super::{IDLE, LIMITS, ask, begin, client, request, run, serve, settle, whole};

/// Seconds until the connection is over.
async fn lasts(over: tokio::task::JoinHandle<()>) -> u64 {
    let before = Instant::now();
    over.await.unwrap();
    before.elapsed().as_secs()
}

#[test]
fn a_connection_without_a_request_is_closed() {
    run(async {
        let (mut near, served) = serve();
        assert_eq!(lasts(served.over).await, LIMITS.request_head.as_secs(), "without a preface");
        near.read_to_end(&mut Vec::new()).await.unwrap();

        let (mut near, served) = serve();
        near.write_all(&PREFACE[..20]).await.unwrap();
        assert_eq!(lasts(served.over).await, LIMITS.request_head.as_secs(), "with a part of it");

        let (near, served) = serve();
        let mut raw = Raw::new(near);
        raw.send(PREFACE).await;
        assert_eq!(raw.goaway().await, 0, "without settings");
        drop(raw);
        served.over.await.unwrap();
    });
}

#[test]
fn an_idle_connection_is_closed_with_a_word() {
    run(async {
        let (mut send, served) = client().await;
        ask(&mut send, request("GET", "/early")).await.unwrap();
        let before = Instant::now();
        let _over = served.over.await;
        assert_eq!(before.elapsed().as_secs(), IDLE.as_secs());
        assert!(send.ready().await.is_err());
    });
}

#[test]
fn pings_do_not_keep_an_idle_connection() {
    run(async {
        let (near, _served) = serve();
        let mut raw = Raw::begin(near).await;
        let before = Instant::now();
        for _ in 0..20 {
            raw.send(&Raw::frame(6, 0, 0, &[0; 8])).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(raw.goaway().await, 0);
        assert!(before.elapsed() < IDLE);
    });
}

#[test]
fn a_busy_connection_lasts() {
    run(async {
        let (mut send, served) = client().await;
        let (response, _stream) = begin(&mut send, request("POST", "/hang"));
        tokio::time::sleep(10 * IDLE).await;
        assert!(!served.over.is_finished());
        drop(response);
    });
}

#[test]
fn a_drain_ends_what_is_idle_and_finishes_what_is_not() {
    run(async {
        let (_send, served) = client().await;
        settle().await;
        served.drain.start();
        assert_eq!(lasts(served.over).await, 0, "idle");

        let (mut send, served) = client().await;
        let (response, mut stream) = begin(&mut send, request("POST", "/"));
        settle().await;
        served.drain.start();
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!served.over.is_finished());
        stream.send_data(Bytes::from("all"), true).unwrap();
        assert_eq!(whole(response).await.unwrap().1, "all");
        assert_eq!(lasts(served.over).await, 0, "after the last answer");
    });
}

#[test]
fn a_drain_does_not_wait_for_a_client_that_answers_nothing() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        settle().await;
        served.drain.start();
        assert_eq!(raw.goaway().await, 0);
        assert_eq!(raw.goaway().await, 0, "and the last one");
        raw.closed().await;
    });
}

#[test]
fn a_head_that_does_not_end_ends_the_connection() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        raw.send(&Raw::headers(1, 0x5, &Raw::get("/hang"))).await;
        raw.send(&Raw::headers(3, 0x1, &Raw::get("/"))).await;
        let before = Instant::now();
        assert_eq!(raw.goaway().await, 11, "ENHANCE_YOUR_CALM");
        assert_eq!(before.elapsed().as_secs(), LIMITS.request_head.as_secs());
        raw.closed().await;
        assert_eq!((served.service.refused.borrow().len(), *served.service.dropped.borrow()), (1, 1));
    });
}

#[test]
fn a_client_whose_socket_takes_nothing_is_cut() {
    run(async {
        let (near, served) = serve();
        let mut raw = Raw::begin(near).await;
        // Room for everything in both windows, and nobody who reads.
        raw.send(&Raw::frame(4, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff])).await;
        raw.send(&Raw::frame(8, 0, 0, &[0x7f, 0, 0, 0])).await;
        raw.send(&Raw::headers(1, 0x5, &Raw::get("/large"))).await;
        let lasted = lasts(served.over).await;
        assert!((IDLE.as_secs()..=IDLE.as_secs() + 5).contains(&lasted), "{lasted}");
    });
}
