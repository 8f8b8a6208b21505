//! Which connections there are, and who is on them.

use std::time::Duration;

use h2::server::Builder;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::upstream::UpstreamErrorKind;
use crate::upstream::tests::h2_backend::{H2Backend, h2c};
use crate::upstream::tests::harness::*;

#[test]
fn requests_share_a_connection() {
    worker(async {
        let backend = H2Backend::counting().await;
        let worker = Worker::new(backend.upstream());
        let open = worker.send(request("GET", TestBody::empty())).await.unwrap();
        assert_eq!(worker.get().await.unwrap(), "1");
        assert_eq!(text(open).await.unwrap(), "1");
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn first_requests_at_the_same_time_wait_for_the_same_connection() {
    worker(async {
        let backend = H2Backend::counting().await;
        let worker = std::rc::Rc::new(Worker::new(backend.upstream()));
        let mut requests = JoinSet::new();
        for _ in 0..100 {
            let worker = std::rc::Rc::clone(&worker);
            requests.spawn_local(async move { worker.get().await.unwrap() });
        }
        assert!(requests.join_all().await.iter().all(|number| number == "1"));
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn the_connection_is_made_although_the_first_request_goes_away() {
    worker(async {
        let backend = H2Backend::counting().await;
        let worker = Worker::new(backend.upstream());
        tokio::select! {
            biased;
            // Polled once: the connection has begun, and nobody else waits for it as yet.
            _response = worker.get() => panic!("that was fast"),
            () = std::future::ready(()) => {}
        }
        assert_eq!(worker.get().await.unwrap(), "1");
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn those_who_wait_for_a_connection_that_fails_are_all_told_and_served_elsewhere() {
    worker(async {
        let live = H2Backend::counting().await;
        let worker = std::rc::Rc::new(Worker::new(h2c(&[refusing().await, live.address])));
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            let worker = std::rc::Rc::clone(&worker);
            requests.spawn_local(async move { worker.get().await.unwrap() });
        }
        assert_eq!(requests.join_all().await, ["1"; 20]);
        assert_eq!(worker.healthy(), [false, true]);

        let alone = std::rc::Rc::new(Worker::new(h2c(&[refusing().await])));
        let mut requests = JoinSet::new();
        for _ in 0..20 {
            let worker = std::rc::Rc::clone(&alone);
            requests.spawn_local(async move { worker.get().await.unwrap_err().to_string() });
        }
        for error in requests.join_all().await {
            assert!(error.starts_with("could not connect to the backend: Connection refused"), "{error}");
        }
    });
}

#[test]
fn what_speaks_no_http2_is_found_out_before_a_request_is_lost() {
    worker(async {
        let old = Backend::new(|mut peer| async move {
            peer.head().await;
            peer.write("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
            peer.closed().await;
        })
        .await;
        let live = H2Backend::counting().await;
        let worker = Worker::new(h2c(&[old.address, live.address]));
        for _ in 0..3 {
            let response = worker.send(request("POST", TestBody::of("abc"))).await.unwrap();
            assert_eq!(text(response).await.unwrap(), "1");
        }
        assert_eq!(worker.healthy(), [false, true]);
        let error = Worker::new(h2c(&[old.address])).get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Connect);
        assert_eq!(error.to_string(), "could not connect to the backend: it speaks no HTTP/2");
    });
}

#[test]
fn a_backend_that_says_nothing_is_not_waited_for_beyond_the_connect_timeout() {
    worker(async {
        let mute = Backend::new(|mut peer| async move { peer.closed().await }).await;
        let mut config = h2c(&[mute.address]);
        config.connect_timeout = Duration::from_millis(50);
        let error = Worker::new(config).get().await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Connect);
    });
}

#[test]
fn a_full_connection_gets_another_beside_it() {
    worker(async {
        let mut two = Builder::new();
        two.max_concurrent_streams(2);
        let backend = H2Backend::answering(two, |mut exchange| async move { exchange.answer_with_number() }).await;
        let worker = Worker::new(backend.upstream());
        let mut open = Vec::new();
        for _ in 0..5 {
            open.push(worker.send(request("GET", TestBody::empty())).await.unwrap());
        }
        assert_eq!(backend.connections(), 3);
        for response in open.drain(..) {
            text(response).await.unwrap();
        }
        // The first has room again, so the others are left to themselves.
        for _ in 0..3 {
            assert_eq!(worker.get().await.unwrap(), "1");
        }
    });
}

#[test]
fn a_backend_that_allows_no_stream_is_busy_and_not_broken() {
    worker(async {
        let mut none = Builder::new();
        none.max_concurrent_streams(0);
        let backend = H2Backend::answering(none, |mut exchange| async move { exchange.answer(StatusCode::OK) }).await;
        let mut config = backend.upstream();
        config.connect_timeout = Duration::from_millis(100);
        let worker = Worker::new(config);
        let error = worker.get().await.unwrap_err();
        assert_eq!((error.kind(), worker.healthy()), (UpstreamErrorKind::Busy, vec![true]));
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn a_connection_that_goes_away_finishes_what_it_has_and_takes_nothing_new() {
    worker(async {
        let (sender, mut told) = mpsc::unbounded_channel();
        let backend = H2Backend::new(Builder::new(), move |mut peer| {
            let sender = sender.clone();
            async move {
                let mut exchange = peer.next().await.unwrap();
                let mut body = exchange.begin();
                if peer.number == 1 {
                    peer.connection.graceful_shutdown();
                    let answering = tokio::task::spawn_local(async move { peer.ended().await });
                    // What is asked for from now on must not come here.
                    told_after_a_round_trip(&sender).await;
                    body.send_data("old".into(), true).unwrap();
                    answering.await.unwrap();
                } else {
                    body.send_data("new".into(), true).unwrap();
                    peer.ended().await;
                }
            }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let old = worker.send(request("GET", TestBody::empty())).await.unwrap();
        told.recv().await.unwrap();
        assert_eq!(worker.get().await.unwrap(), "new");
        assert_eq!(text(old).await.unwrap(), "old");
        assert_eq!(backend.connections(), 2);
    });
}

/// The frames of a shutdown have to arrive: nothing tells but time.
async fn told_after_a_round_trip(sender: &mpsc::UnboundedSender<()>) {
    tokio::time::sleep(Duration::from_millis(50)).await;
    sender.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
}
