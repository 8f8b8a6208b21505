//! One stream among others: its end, its time limits, its windows.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::Builder;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use crate::upstream::tests::h2_backend::H2Backend;
use crate::upstream::tests::harness::*;
use crate::upstream::{ResponseBodyError, UpstreamErrorKind};

/// A backend that begins an answer to each request, and tells why the stream was reset.
async fn beginning() -> (H2Backend, mpsc::UnboundedReceiver<Reason>) {
    let (sender, resets) = mpsc::unbounded_channel();
    let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
        let sender = sender.clone();
        async move {
            let mut body = exchange.begin();
            body.send_data("abc".into(), false).unwrap();
            let reset = std::future::poll_fn(|context| body.poll_reset(context)).await;
            sender.send(reset.unwrap()).unwrap();
        }
    })
    .await;
    (backend, resets)
}

#[test]
fn a_response_nobody_reads_any_more_resets_its_stream_and_no_other() {
    worker(async {
        let (backend, mut resets) = beginning().await;
        let worker = Worker::new(backend.upstream());
        let mut kept = worker.send(request("GET", TestBody::empty())).await.unwrap();
        drop(worker.send(request("GET", TestBody::empty())).await.unwrap());
        assert_eq!(resets.recv().await, Some(Reason::CANCEL));
        let frame = kept.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "abc");
        drop(kept);
        assert_eq!(resets.recv().await, Some(Reason::CANCEL));
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn a_request_nobody_waits_for_any_more_resets_its_stream() {
    worker(async {
        let (sender, mut resets) = mpsc::unbounded_channel();
        let (arrived, mut arrivals) = mpsc::unbounded_channel();
        let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
            let (sender, arrived) = (sender.clone(), arrived.clone());
            async move {
                arrived.send(()).unwrap();
                let reset = std::future::poll_fn(|context| exchange.respond.poll_reset(context)).await;
                sender.send(reset.unwrap()).unwrap();
            }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let (body, request_body) = TestBody::channel();
        tokio::select! {
            _response = worker.send(request("POST", request_body)) => panic!("there is no answer"),
            _arrived = arrivals.recv() => {}
        }
        assert_eq!(resets.recv().await, Some(Reason::CANCEL));
        body.closed().await;
    });
}

#[test]
fn a_backend_that_does_not_answer_times_out_and_keeps_its_connection() {
    worker(async {
        let (sender, mut resets) = mpsc::unbounded_channel();
        let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
            let sender = sender.clone();
            async move {
                if exchange.request.method() == "GET" {
                    return exchange.answer_with_number();
                }
                let reset = std::future::poll_fn(|context| exchange.respond.poll_reset(context)).await;
                sender.send(reset.unwrap()).unwrap();
            }
        })
        .await;
        let mut config = backend.upstream();
        config.timeout = Duration::from_millis(50);
        let worker = Worker::new(config);
        let error = worker.send(request("POST", TestBody::of("abc"))).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Timeout);
        assert_eq!(resets.recv().await, Some(Reason::CANCEL));
        assert_eq!(worker.get().await.unwrap(), "1");
        assert_eq!(worker.healthy(), [true], "slow is not broken");
    });
}

#[test]
fn a_silent_backend_within_a_body_is_an_error() {
    worker(async {
        let (backend, mut resets) = beginning().await;
        let worker = Worker::with_idle(backend.upstream(), Duration::from_millis(50));
        let mut response = worker.send(request("GET", TestBody::empty())).await.unwrap();
        response.body_mut().frame().await.unwrap().unwrap();
        let error = response.body_mut().frame().await.unwrap().unwrap_err();
        assert!(matches!(error, ResponseBodyError::Idle));
        drop(response);
        assert_eq!(resets.recv().await, Some(Reason::CANCEL));
    });
}

#[test]
fn messages_go_both_ways_for_longer_than_any_time_limit() {
    worker(async {
        let backend = H2Backend::answering(Builder::new(), |mut exchange| async move {
            let mut body = exchange.begin();
            while let Some(data) = exchange.request.body_mut().data().await {
                let data = data.unwrap();
                exchange.request.body_mut().flow_control().release_capacity(data.len()).unwrap();
                body.send_data(data, false).unwrap();
            }
            body.send_trailers([("grpc-status".parse().unwrap(), "0".parse().unwrap())].into_iter().collect()).unwrap();
        })
        .await;
        let mut config = backend.upstream();
        config.timeout = Duration::from_millis(50);
        let worker = Worker::with_idle(config, Duration::from_millis(50));
        let (body, request_body) = TestBody::channel();
        let mut response = worker.send(request("POST", request_body)).await.unwrap();
        for _ in 0..4 {
            // Time has to pass: it is what the test is about.
            tokio::time::sleep(Duration::from_millis(60)).await;
            body.send(Ok(data("abc"))).unwrap();
            let frame = response.body_mut().frame().await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), Bytes::from_static(b"abc"));
        }
        drop(body);
        let trailers = response.body_mut().frame().await.unwrap().unwrap().into_trailers().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        assert!(response.body_mut().frame().await.is_none());
    });
}

#[test]
fn a_backend_sends_ahead_of_a_slow_reader_by_a_window_and_others_are_served() {
    worker(async {
        let (sender, mut sent) = mpsc::unbounded_channel();
        let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
            let sender = sender.clone();
            async move {
                if exchange.request.method() == "GET" {
                    return exchange.answer_with_number();
                }
                let mut body = exchange.begin();
                for _ in 0..64 {
                    body.reserve_capacity(100_000);
                    while body.capacity() < 100_000 {
                        if std::future::poll_fn(|context| body.poll_capacity(context)).await.is_none() {
                            return;
                        }
                    }
                    body.send_data(vec![b'a'; 100_000].into(), false).unwrap();
                    sender.send(100_000).unwrap();
                }
                body.send_data(Bytes::new(), true).unwrap();
            }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        let mut slow = Vec::new();
        for _ in 0..100 {
            slow.push(worker.send(request("POST", TestBody::empty())).await.unwrap());
        }
        let mut total = 0;
        while total < 100 * 200_000 {
            total += sent.recv().await.unwrap();
        }
        // Most windows are full, and yet the next answer comes.
        assert_eq!(worker.get().await.unwrap(), "1");
        assert!(sent.try_recv().is_err(), "more than the windows");
        let last = slow.pop().unwrap();
        drop(slow);
        assert_eq!(text(last).await.unwrap().len(), 6_400_000);
        assert_eq!(backend.connections(), 1);
    });
}

#[test]
fn a_backend_that_takes_no_more_of_a_body_times_out() {
    worker(async {
        let backend = H2Backend::answering(Builder::new(), |exchange| async move {
            std::future::pending::<()>().await;
            drop(exchange);
        })
        .await;
        let worker = Worker::with_idle(backend.upstream(), Duration::from_millis(100));
        let (body, request_body) = TestBody::channel();
        for _ in 0..64 {
            body.send(Ok(http_body::Frame::data(vec![b'a'; 100_000].into()))).unwrap();
        }
        let error = worker.send(request("POST", request_body)).await.unwrap_err();
        assert_eq!(error.kind(), UpstreamErrorKind::Timeout);
        body.closed().await;
    });
}

#[test]
fn small_pieces_that_are_there_together_are_few_frames() {
    worker(async {
        let (sender, mut frames) = mpsc::unbounded_channel();
        let backend = H2Backend::answering(Builder::new(), move |mut exchange| {
            let sender = sender.clone();
            async move {
                let (mut count, mut text) = (0, Vec::new());
                while let Some(data) = exchange.request.body_mut().data().await {
                    count += 1;
                    text.extend_from_slice(&data.unwrap());
                }
                exchange.answer_with_number();
                sender.send((count, text)).unwrap();
            }
        })
        .await;
        let worker = Worker::new(backend.upstream());
        for last in [data("end"), Frame::trailers(http::HeaderMap::new())] {
            let (body, request_body) = TestBody::channel();
            for _ in 0..9_000 {
                body.send(Ok(data("abc"))).unwrap();
            }
            let is_text = last.is_data();
            body.send(Ok(last)).unwrap();
            drop(body);
            worker.send(request("POST", request_body)).await.unwrap();
            let (count, text) = frames.recv().await.unwrap();
            // Not one: the channel that the pieces come from gives way to others from time to time.
            assert!(count < 300, "{count} frames");
            assert!(text == [&b"abc".repeat(9_000)[..], if is_text { b"end" } else { b"" }].concat());
        }
    });
}
